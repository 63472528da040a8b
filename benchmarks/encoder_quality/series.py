"""Real CT that no encoder of ours was trained on, with what is known of every slice."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_quality.landmarks import levels, regions
from benchmarks.slices import Stack, read_stack

DATA = Path(os.environ.get("SLICEBANK_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
# Voxels of an organ that make it present in a slice, at the 3 mm of `example`.
ORGAN_VOXELS = 10
# What the evaluation reads: series below `ct`, volumes below `nifti`. None of it may be trained on.
ABDOMEN, CHEST = "ircad17_abdomen_lesions", "ge_chest_with_scout_and_seg"
ORGANS, TUMOUR = "example_ct_sm.nii.gz", "lung1_image.nii.gz"


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSeries:
    """One series of one patient; arrays run from inferior to superior.

    Attributes:
        name: of the series, and so of the patient.
        stack: its slices on disk.
        spacing_mm: distance of slices.
        region: (S,) index of landmarks.REGIONS.
        level: (S,) height in landmarks.
        lesion: (S,) whether a tumour is in the slice; None where nobody looked.
        candidates: (S,) slices of the organ in which tumours were looked for.
        organs: (S, organs) whether an organ is in the slice; no columns where organs were not labelled.
    """

    name: str
    stack: Stack
    spacing_mm: float
    region: NDArray[np.int64]
    level: NDArray[np.float64]
    lesion: NDArray[np.bool_] | None
    candidates: NDArray[np.bool_]
    organs: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.region)


def read_series(scratch: Path, root: Path = DATA) -> tuple[EvaluationSeries, ...]:
    """The four series, one patient each.

    Landmarks are from masks where there are masks (the kidneys of `example`, the liver of `ircad17`) and otherwise set by eye.

    Args:
        scratch: a folder for unpacked volumes.
        root: of the real CT.
    """
    return (_example(scratch, root), _ircad(root), _ge_chest(root), _lung1(scratch, root))


def _example(scratch: Path, root: Path) -> EvaluationSeries:
    labels = np.asarray(nib.load(root / "nifti" / "example_seg.nii.gz").dataobj)  # type: ignore[attr-defined]
    n_slices = labels.shape[2]
    values = [value for value in np.unique(labels) if value]
    voxels = np.array([[np.count_nonzero(labels[:, :, z] == value) for value in values] for z in range(n_slices)])
    kidneys = (labels == 2) | (labels == 3)  # TotalSegmentator's numbers: right and left
    top = int(np.nonzero(kidneys.any(axis=(0, 1)))[0].max())
    stack = _volume(scratch, root / "nifti" / ORGANS)
    return _series("example", stack, 3.0, {"kidney_top": top}, organs=voxels >= ORGAN_VOXELS)


def _ircad(root: Path) -> EvaluationSeries:
    folder = root / "ct" / ABDOMEN
    stack = read_stack(folder / "PATIENT_DICOM")
    rows = {row["file"]: row for row in _rows(folder / "slice_labels.csv")}
    table = [rows[ref.file] for ref in stack.slices]
    liver = np.array([int(row["liver_px"]) > 0 for row in table])
    lesion = np.array([int(row["livertumor1_px"]) + int(row["livertumor2_px"]) > 0 for row in table])
    marks = {"kidney_top": 77, "liver_top": int(np.nonzero(liver)[0].max())}
    return _series("ircad17", stack, 1.6, marks, lesion=lesion, candidates=liver)


def _ge_chest(root: Path) -> EvaluationSeries:
    folders = [path for path in (root / "ct" / CHEST).iterdir() if path.is_dir()]
    stack = read_stack(max(folders, key=lambda path: len(list(path.iterdir()))))
    return _series("ge_chest", stack, 3.27, {"kidney_top": 24, "liver_top": 52, "carina": 83, "lung_apex": 114})


def _lung1(scratch: Path, root: Path) -> EvaluationSeries:
    stack = _volume(scratch, root / "nifti" / TUMOUR)
    table = _rows(root / "nifti" / "lung1_slice_labels.csv")
    marked = {int(row["slice_index"]) for row in table if int(row["label_px"])}
    lesion = np.array([ref.frame_number - 1 in marked for ref in stack.slices])
    marks = {"kidney_top": -1, "liver_top": 1, "carina": 24, "lung_apex": 42}
    return _series("lung1", stack, 5.0, marks, lesion=lesion)


def _series(
    name: str,
    stack: Stack,
    spacing_mm: float,
    marks: dict[str, int],
    *,
    lesion: NDArray[np.bool_] | None = None,
    candidates: NDArray[np.bool_] | None = None,
    organs: NDArray[np.bool_] | None = None,
) -> EvaluationSeries:
    n_slices = len(stack.slices)
    return EvaluationSeries(
        name,
        stack,
        spacing_mm,
        regions(n_slices, marks),
        levels(n_slices, spacing_mm, marks),
        lesion,
        np.ones(n_slices, bool) if candidates is None else candidates,
        np.zeros((n_slices, 0), bool) if organs is None else organs,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _volume(scratch: Path, path: Path) -> Stack:
    folder = scratch / path.name.removesuffix(".nii.gz")
    folder.mkdir(exist_ok=True)
    with gzip.open(path) as packed, (folder / "volume.nii").open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    return read_stack(folder)
