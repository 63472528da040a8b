"""QIN LUNG CT: DICOM SEG objects of three algorithms, each run three times on a case."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from scipy import ndimage

from benchmarks.shipped_encoder.axial_slices import TakenSlice
from benchmarks.shipped_encoder.boxes import SliceBox

LABEL = "lung tumour"
TOLERANCE_MM = 0.05
TOLERANCE_COSINE = 1e-3
SMALLEST = 9  # pixels of a box; less is a speck of the vote


def read_boxes(files: Iterable[tuple[str, bytes]], slices: Sequence[TakenSlice]) -> list[SliceBox]:
    """Boxes of the connected parts, diagonals included, of what at least half of a case's segmentations mark in a slice.

    Frames find their slice by patient, position and orientation; a frame without exactly one slice counts for nothing.
    """
    by_patient = defaultdict(list)
    for item in slices:
        by_patient[item.patient].append(item)
    voters: Counter[str] = Counter()
    votes: dict[str, NDArray[np.int16]] = {}
    for _, content in files:
        data = dcmread(io.BytesIO(content))
        if data.Modality != "SEG":
            continue
        patient = str(data.PatientID)
        voters[patient] += 1
        marked: dict[str, NDArray[np.bool_]] = {}
        for frame, mask in _frames(data):
            found = [item for item in by_patient[patient] if _same_plane(item, data, frame, mask.shape)]
            if len(found) == 1:
                uid = found[0].sop_instance_uid
                marked[uid] = marked.get(uid, np.zeros(mask.shape, bool)) | mask
        for uid, mask in marked.items():
            votes[uid] = votes.get(uid, np.zeros(mask.shape, np.int16)) + mask
    patients = {item.sop_instance_uid: item.patient for item in slices}
    return [
        box
        for uid, count in sorted(votes.items())
        for box in _parts(2 * count >= voters[patients[uid]], uid, patients[uid])
    ]


def _frames(data: Dataset) -> Iterable[tuple[Dataset, NDArray[np.bool_]]]:
    """Functional groups and mask of every frame that marks anything."""
    pixels = data.pixel_array
    masks = pixels if pixels.ndim == 3 else pixels[None]
    for frame, mask in zip(data.PerFrameFunctionalGroupsSequence, masks > 0, strict=True):
        if mask.any():
            yield frame, mask


def _same_plane(item: TakenSlice, data: Dataset, frame: Dataset, shape: tuple[int, ...]) -> bool:
    position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    shared = data.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    return (
        item.shape == shape
        and np.allclose(item.position, position, rtol=0, atol=TOLERANCE_MM)
        and np.allclose(item.orientation, orientation, rtol=0, atol=TOLERANCE_COSINE)
    )


def _parts(mask: NDArray[np.bool_], uid: str, patient: str) -> Iterable[SliceBox]:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    for rows, columns in ndimage.find_objects(labels):
        if (rows.stop - rows.start) * (columns.stop - columns.start) >= SMALLEST:
            yield SliceBox(uid, columns.start, rows.start, columns.stop, rows.stop, LABEL, patient)
