"""Lesion boxes and what their readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.shipped_encoder.axial_slices import TakenSlice

# Column start, row start, column stop, row stop: pixels of the stored slice from 0, stops one past the last.
Extent = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, order=True)
class SliceBox:
    """One lesion in one slice, in the columns of the table that `slicebank pretrain cache --boxes` reads."""

    sop_instance_uid: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str
    patient: str


# A reader takes annotation files, by path and content, and the slices that boxes may fall on.
BoxReader = Callable[[Iterable[tuple[str, bytes]], Sequence[TakenSlice]], list[SliceBox]]


def overlapping_merged(extents: Sequence[Extent]) -> list[Extent]:
    """Extents, those that share a pixel made one until none do."""
    merged: list[Extent] = []
    for extent in extents:
        grown = extent
        while overlapping := [other for other in merged if _overlap(grown, other)]:
            merged = [other for other in merged if other not in overlapping]
            group = [grown, *overlapping]
            grown = (
                min(left for left, _, _, _ in group),
                min(top for _, top, _, _ in group),
                max(right for _, _, right, _ in group),
                max(bottom for _, _, _, bottom in group),
            )
        merged.append(grown)
    return sorted(merged)


def _overlap(first: Extent, second: Extent) -> bool:
    return all(first[axis] < second[axis + 2] and second[axis] < first[axis + 2] for axis in (0, 1))
