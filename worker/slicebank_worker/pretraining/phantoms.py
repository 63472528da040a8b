"""Phantoms with lesions, so that pre-training can be tried without data."""

from __future__ import annotations

from collections.abc import Iterator

from slicebank_imaging.phantom import PhantomSpec, make_phantom, random_lesion
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.decoding import in_order

SLICES = 24
SIZE = 256
SPACING_MM = 8.0
LESIONS = 3
# Phantoms of tests and examples have small seeds; those here are others.
FIRST_SEED = 1_000_000


class PhantomSource:
    """Made-up patients, each with three lesions in liver and spleen; the same ones at every call.

    Args:
        count: Patients.
        workers: Threads.
    """

    name = "phantoms"

    def __init__(self, count: int, *, workers: int) -> None:
        self._count = count
        self._workers = workers

    def __len__(self) -> int:
        return self._count * SLICES

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields patient after patient, from inferior to superior."""
        for patient in in_order(_patient, range(self._count), self._workers):
            yield from patient


def _patient(number: int) -> list[SourceSlice]:
    spec = PhantomSpec(seed=FIRST_SEED + number, n_slices=SLICES, size=SIZE, slice_spacing_mm=SPACING_MM)
    lesions = [random_lesion(spec, LESIONS * (FIRST_SEED + number) + lesion) for lesion in range(LESIONS)]
    phantom = make_phantom(spec, lesions)
    boxes: list[list[LesionBox]] = [[] for _ in range(SLICES)]
    for planted in phantom.lesions:
        for box in planted.boxes:
            boxes[box.slice_index].append(LesionBox(box.row_start, box.column_start, box.row_stop, box.column_stop))
    name = f"phantom-{number:06d}"
    return [
        SourceSlice(hu, name, name, position, tuple(found), pixel_mm=spec.pixel_mm)
        for position, (hu, found) in enumerate(zip(phantom.hu, boxes, strict=True))
    ]
