"""Which DICOM files are taken: axial CT slices with everything that training needs."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, dcmread

# Of the slice normal's component along the patient's axis: gantries tilt by up to 30 degrees.
AXIAL = 0.7
# TCIA's private element that names the collection.
COLLECTION = (0x0013, 0x1010)


@dataclass(frozen=True, slots=True)
class TakenSlice:
    """One slice that was taken.

    Attributes:
        sop_instance_uid: The slice.
        series_uid: Its series.
        patient: PatientID, a pseudonym of the collection.
        collection: Key of the collection.
        repository: OWNER/NAME.
        commit: 40 hexadecimal digits.
        path: In the repository.
        scanner: Manufacturer and model.
        position: Centre of the first pixel, millimetres, LPS.
        orientation: Direction cosines along a row, then along a column.
        shape: Rows and columns.
    """

    sop_instance_uid: str
    series_uid: str
    patient: str
    collection: str
    repository: str
    commit: str
    path: str
    scanner: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    shape: tuple[int, int]


def read_dicom(content: bytes) -> Dataset | None:
    """A data set, or None where it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dcmread(io.BytesIO(content), force=True)
        except Exception:  # noqa: BLE001  pydicom raises anything
            return None


def reason_against(data: Dataset, title: str) -> str:
    """Why a file is not taken; empty where it is.

    Args:
        data: With pixels.
        title: Of the collection that it should belong to.
    """
    if data.get("Modality") != "CT" or "PixelData" not in data:
        return f"modality {data.get('Modality')}"
    kinds = data.get("ImageType") or ()
    if "LOCALIZER" in ((kinds,) if isinstance(kinds, str) else kinds):
        return "localizer"
    if not data.get("ImageOrientationPatient") or not data.get("ImagePositionPatient"):
        return "no geometry"
    along_row, along_column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    if abs(np.cross(along_row, along_column)[2]) < AXIAL:
        return "not axial"
    if data.get("RescaleSlope") is None:
        return "no rescale slope"
    if collection_of(data) != title:
        return f"of collection {collection_of(data)!r}"
    if data.get("PatientBirthDate"):
        return "states a birth date"
    return _undecodable(data)


def collection_of(data: Dataset) -> str:
    """The collection that a file of TCIA says it belongs to; empty where it says nothing."""
    if COLLECTION not in data:
        return ""
    value = data[COLLECTION].value  # bytes in files without explicit value representations
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip("\0 ")


def scanner_of(data: Dataset) -> str:
    """Manufacturer and model; empty where neither is stated."""
    return f"{data.get('Manufacturer') or ''} {data.get('ManufacturerModelName') or ''}".strip()


def taken(data: Dataset, *, collection: str, repository: str, commit: str, path: str) -> TakenSlice:
    """What later steps need of a slice that is taken."""
    return TakenSlice(
        sop_instance_uid=str(data.SOPInstanceUID),
        series_uid=str(data.SeriesInstanceUID),
        patient=str(data.PatientID),
        collection=collection,
        repository=repository,
        commit=commit,
        path=path,
        scanner=scanner_of(data),
        position=tuple(float(x) for x in data.ImagePositionPatient),
        orientation=tuple(float(x) for x in data.ImageOrientationPatient),
        shape=(int(data.Rows), int(data.Columns)),
    )


def _undecodable(data: Dataset) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data.pixel_array  # noqa: B018  decodes
        except Exception as error:  # noqa: BLE001  pydicom raises anything
            return f"cannot be decoded: {error!s:.60}"
    return ""
