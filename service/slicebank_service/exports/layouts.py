"""Where each layout keeps a bag, and under what name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slicebank_store.catalogue import BagRecord
from slicebank_store.external import folder_name
from slicebank_store.types import BagLevel


class Layout(StrEnum):
    """Whose folder a cohort becomes."""

    STAMP = "stamp"
    TRIDENT = "trident"
    CLAM = "clam"
    CLEAR = "clear"
    PARQUET = "parquet"


class Content(StrEnum):
    """What a file of a bag holds."""

    H5 = "h5"
    PT = "pt"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class ExportedBag:
    """One bag of an export.

    Attributes:
        patient: pseudonym, never a PatientID.
        size: edge of the encoder's input, pixels.
        labels: texts, in the order of the label columns; empty where none were sent.
        blob_key: where its file is.
        created_at: seconds since 1970.
    """

    bag_id: str
    series_uid: str
    study_uid: str
    patient: str
    encoder: str
    level: BagLevel
    n_rows: int
    dim: int
    size: int
    labels: tuple[str, ...]
    blob_key: str
    created_at: float


def exported_bag(bag: BagRecord, *, patient: str, labels: tuple[str, ...] = ()) -> ExportedBag:
    """A stored bag as an export knows it."""
    return ExportedBag(
        bag_id=bag.bag_id,
        series_uid=bag.series_uid,
        study_uid=bag.study_uid,
        patient=patient,
        encoder=bag.encoder,
        level=bag.level,
        n_rows=bag.n_rows,
        dim=bag.dim,
        size=int(bag.recipe["size"]),
        labels=labels,
        blob_key=bag.blob_key,
        created_at=bag.created_at,
    )


def stem_of(layout: Layout, bag: ExportedBag) -> str:
    """The name of a bag's file without its ending.

    The SeriesInstanceUID, which is what a cohort can be joined by. CLEAR takes the text before the first underscore for the patient;
    STAMP finds the one row of a patient's scan under the patient.
    """
    if layout is Layout.CLEAR:
        return f"{bag.patient}_{bag.series_uid}"
    if layout is Layout.STAMP and bag.level is BagLevel.SCAN:
        return bag.patient
    return bag.series_uid


def files_of(layout: Layout, bag: ExportedBag) -> list[tuple[str, Content]]:
    """Paths of a bag's files below the export's folder, and what each holds."""
    stem, encoder = stem_of(layout, bag), folder_name(bag.encoder)
    if layout is Layout.STAMP:
        return [(f"features/{encoder}/{stem}.h5", Content.H5)]
    if layout is Layout.TRIDENT:
        # {mag}x_{px}px_{ov}px_overlap, as the attributes of `coords` say.
        return [(f"1x_{bag.size}px_0px_overlap/features_{encoder}/{stem}.h5", Content.H5)]
    if layout is Layout.CLAM:
        return [(f"h5_files/{stem}.h5", Content.H5), (f"pt_files/{stem}.pt", Content.PT)]
    if layout is Layout.CLEAR:
        return [(f"{encoder}_Features/{stem}.h5", Content.H5)]
    return [(f"rows/{stem}.parquet", Content.PARQUET)]
