"""What a user means by the name of a source."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slicebank_imaging.nifti import is_nifti
from slicebank_imaging.options import ImportOptions
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_cache import is_cache
from slicebank_models.pretraining.slice_source import SliceSource
from slicebank_worker.pretraining.box_table import BoxTable
from slicebank_worker.pretraining.decoding import default_workers
from slicebank_worker.pretraining.deeplesion import DeepLesionSource, Split, find_deeplesion
from slicebank_worker.pretraining.dicom_boxes import DicomSource, files_below
from slicebank_worker.pretraining.nifti_masks import SUFFIXES, NiftiSource
from slicebank_worker.pretraining.phantoms import PhantomSource

KINDS = ("deeplesion", "dicom", "nifti", "store", "phantoms")
MOST_PHANTOMS = 100_000


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        boxes: Table of boxes, for DICOM and stores.
        splits: Parts of DeepLesion to take.
        mask_values: Values of NIfTI masks that are lesions; none for all but 0.
        project: Of a store.
        imports: What is asserted of files whose headers do not say it.
        workers: Decoding threads.
    """

    boxes: Path | None = None
    splits: Collection[Split] = (Split.TRAIN,)
    mask_values: Collection[int] = ()
    project: str = "default"
    imports: ImportOptions = field(default_factory=ImportOptions)
    workers: int = field(default_factory=default_workers)


def open_sources(names: Sequence[str], options: SourceOptions) -> list[SliceSource]:
    """Opens sources by name: a path whose kind is found out, or `KIND:PATH`, `store:DATA_DIR` or `phantoms:COUNT`.

    Raises:
        SourceProblem: One is none, or a table of boxes is given that no source has a use for.
    """
    table = BoxTable(options.boxes) if options.boxes is not None else None
    kinds = [_kind(name) for name in names]
    if table is not None:
        table.users = sum(kind in ("dicom", "store") for kind, _ in kinds)
        if not table.users:
            raise SourceProblem(
                "A table of boxes goes with DICOM files or a store; DeepLesion and NIfTI masks bring their own."
            )
    return [_open(kind, rest, options, table) for kind, rest in kinds]


def _kind(name: str) -> tuple[str, str]:
    """The kind of a source, and its path or number."""
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        return kind, rest
    path = Path(name).expanduser()
    if not path.exists():
        raise SourceProblem(
            f"There is no {name}: a source is a folder, an archive, or one of {', '.join(f'{kind}:...' for kind in KINDS)}."
        )
    if path.is_dir():
        if is_cache(path):
            raise SourceProblem(f"{name} is a slice cache already: train with it as it is.")
        if find_deeplesion(path) is not None:
            return "deeplesion", name
        first = next((file for file in files_below(path)), None)
        if first is None:
            raise SourceProblem(f"{name} holds no file.")
        volumes = any(file.lower().endswith(SUFFIXES) for file in files_below(path))
        return ("nifti" if volumes else "dicom"), name
    volume = path.name.lower().endswith(SUFFIXES) or is_nifti(path)
    return ("nifti" if volume else "dicom"), name


def _open(kind: str, rest: str, options: SourceOptions, table: BoxTable | None) -> SliceSource:
    if kind == "phantoms":
        if not rest.isdecimal() or not 0 < int(rest) <= MOST_PHANTOMS:
            raise SourceProblem(f"phantoms:{rest} must name how many, from 1 to {MOST_PHANTOMS}, such as phantoms:40.")
        return PhantomSource(int(rest), workers=options.workers)
    path = Path(rest).expanduser()
    if not path.exists():
        raise SourceProblem(f"There is no {rest}.")
    match kind:
        case "deeplesion":
            return DeepLesionSource(path, splits=options.splits, workers=options.workers)
        case "nifti":
            return NiftiSource(path, values=options.mask_values, options=options.imports, workers=options.workers)
        case "store":
            from slicebank_store.settings import StoreSettings
            from slicebank_worker.pretraining.store_series import StoreSource

            return StoreSource(StoreSettings(data_dir=path), options.project, boxes=table, workers=options.workers)
        case _:
            return DicomSource(path, boxes=table, options=options.imports, workers=options.workers)
