"""Slices of one plane and phase as a stack: ordered, described, and referred to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slicebank_imaging.geometry import AXIAL_LIMIT_DEG, Duplicates, Source, describe, normal_angle, pixel_spacing
from slicebank_imaging.placement import Orientation, PlacedSlice
from slicebank_imaging.slices import SliceRef


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one orientation, matrix and phase, ordered from inferior to superior.

    Attributes:
        stack: Number of the stack in its series, 0-based.
        slice_digests: One for each slice, in the same order.
        geometry: See `geometry.describe`.
        axial: Whether the normal lies within 45 degrees of the patient's long axis.
        field_of_view_mm: Longer side of the matrix; 1 mm a pixel where PixelSpacing is missing.
        rescale: Slope, intercept and padding as JSON.
    """

    stack: int
    slices: tuple[SliceRef, ...]
    slice_digests: tuple[str, ...]
    geometry: dict[str, Any]
    rows: int
    columns: int
    axial: bool
    field_of_view_mm: float
    rescale: dict[str, Any]


def is_axial(orientation: Orientation) -> bool:
    """Whether a plane is nearer to axial than to anything else."""
    return normal_angle(orientation) <= AXIAL_LIMIT_DEG


def make_stack(
    number: int, orientation: Orientation, slices: Sequence[PlacedSlice], source: Source, duplicates: Duplicates
) -> Stack:
    """Order the slices of one stack and describe them.

    Args:
        number: Of the stack in its series, 0-based.
        orientation: Plane of the slices.
        slices: In any order.
        source: What the order rests on.
        duplicates: Copies of these slices that are not in the stack.
    """
    ordered = sorted(slices, key=lambda item: (item.z_mm, item.key))
    first = ordered[0].frame
    spacing = pixel_spacing(ordered) or [1.0, 1.0]
    return Stack(
        stack=number,
        slices=tuple(_reference(item) for item in ordered),
        slice_digests=tuple(item.digest for item in ordered),
        geometry=describe(ordered, orientation, source, duplicates),
        rows=first.rows,
        columns=first.columns,
        axial=is_axial(orientation),
        field_of_view_mm=round(max(first.rows * spacing[0], first.columns * spacing[1]), 3),
        rescale=_rescale(ordered),
    )


def _reference(item: PlacedSlice) -> SliceRef:
    frame = item.frame
    return SliceRef(
        file=frame.file,
        frame_number=frame.frame_number,
        sop_instance_uid=frame.sop_instance_uid,
        instance_number=frame.instance_number,
        z_mm=round(item.z_mm, 6),
        slope=frame.slope,
        intercept=frame.intercept,
        padding=frame.padding,
    )


def _rescale(slices: Sequence[PlacedSlice]) -> dict[str, Any]:
    frames = [item.frame for item in slices]
    pairs = sorted({(frame.slope, frame.intercept) for frame in frames})
    paddings = sorted({frame.padding for frame in frames if frame.padding is not None})
    return {
        "slope": pairs[0][0] if len(pairs) == 1 else None,
        "intercept": pairs[0][1] if len(pairs) == 1 else None,
        "per_slice": len(pairs) > 1,
        "assumed": any(frame.rescale_assumed for frame in frames),
        "rounded_to_hu": next((item.file.rounded_to_hu for item in slices if item.file.rounded_to_hu), None),
        "padding": [list(padding) for padding in paddings],
    }
