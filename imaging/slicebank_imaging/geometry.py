"""The geometry of a stack, described and never refused: tilt, spacing along the normal, gaps, overlaps, duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Literal

import numpy as np

from slicebank_imaging.placement import Orientation, PlacedSlice, normal_of

AXIAL_LIMIT_DEG = 45.0  # a plane nearer to axial than to anything else
DISTINCT_SPACING_MM = 0.05  # scanners write table positions with 2 decimals; smaller steps are rounding
UNIFORM_FRACTION = 0.02  # of the median spacing
GAP_FACTOR = 1.5  # a spacing above 1.5 times the median means a missing slice,
GAP_THICKNESS = 1.1  # unless the slices are so thick that they touch
OVERLAP_MM = 0.01
MAX_LISTED = 32

OBLIQUE_DEG = 1.0  # scanners and resampling tools write axial planes that are off by less
_PLANES = ("sagittal", "coronal", "axial")  # by the LPS axis that the normal is nearest to
_DIRECTIONS = ("right_to_left", "anterior_to_posterior", "inferior_to_superior")

Source = Literal["image_position", "slice_location", "single"]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Slices of the upload at positions of a stack that are not in it.

    Attributes:
        dropped: Position in mm and number of copies, byte for byte the same as the slice that was kept.
        in_other_stacks: Positions in mm that other stacks of the same plane (phases, reconstructions) hold too.
    """

    dropped: tuple[tuple[float, int], ...] = ()
    in_other_stacks: tuple[float, ...] = ()


def describe(
    slices: Sequence[PlacedSlice], orientation: Orientation, source: Source, duplicates: Duplicates
) -> dict[str, Any]:
    """Describe an ordered stack as JSON, in the keys of docs/geometry.md; lengths in mm, angles in degrees.

    `spacing_mm` is measured along the normal, so that a tilted gantry does not stretch it.
    """
    frames = [item.frame for item in slices]
    spacings = [above.z_mm - below.z_mm for below, above in pairwise(slices)]
    middle = median(spacings) if spacings else None
    thicknesses = _distinct([frame.slice_thickness for frame in frames if frame.slice_thickness is not None], 1e-3)
    angle = normal_angle(orientation)
    gaps = _gaps(slices, spacings, middle)
    overlaps = _overlaps(slices, spacings)
    return {
        "n_slices": len(slices),
        "rows": frames[0].rows,
        "columns": frames[0].columns,
        "orientation": [round(value, 6) for value in orientation],
        "normal_angle_deg": round(angle, 2),
        "gantry_tilt_deg": _tilt(slices, angle),
        "pixel_spacing_mm": pixel_spacing(slices),
        "spacing_mm": None
        if middle is None
        else {
            "median": _rounded(middle),
            "min": _rounded(min(spacings)),
            "max": _rounded(max(spacings)),
            "distinct": _distinct(spacings, DISTINCT_SPACING_MM),
        },
        "uniform": middle is None
        or max(abs(spacing - middle) for spacing in spacings) <= max(DISTINCT_SPACING_MM, UNIFORM_FRACTION * middle),
        "slice_thickness_mm": thicknesses,
        "extent_mm": _rounded(slices[-1].z_mm - slices[0].z_mm),
        "gaps": gaps[:MAX_LISTED],
        "overlapping": bool(overlaps),
        "source": source,
        "orientation_name": plane_name(orientation),
        "direction": _DIRECTIONS[int(np.argmax(np.abs(normal_of(orientation))))],
        "instance_order": _instance_order(slices),
        "missing_slices": sum(gap["missing"] for gap in gaps),
        "overlaps": overlaps[:MAX_LISTED],
        "duplicates": {
            "dropped": sum(count for _, count in duplicates.dropped),
            "in_other_stacks": len(duplicates.in_other_stacks),
            "positions_mm": [
                _rounded(z_mm)
                for z_mm in sorted({*(z_mm for z_mm, _ in duplicates.dropped), *duplicates.in_other_stacks})
            ][:MAX_LISTED],
        },
    }


def plane_name(orientation: Orientation) -> str:
    """Name of the plane: "axial", "coronal" or "sagittal" within a degree, else "oblique"."""
    normal = np.abs(normal_of(orientation))
    nearest = int(np.argmax(normal))
    off = float(np.degrees(np.arccos(min(1.0, float(normal[nearest])))))
    return _PLANES[nearest] if off <= OBLIQUE_DEG else "oblique"


def _gaps(slices: Sequence[PlacedSlice], spacings: Sequence[float], middle: float | None) -> list[dict[str, Any]]:
    """Where slices are missing, and how many by the median spacing."""
    return [
        {
            "after_slice": index,
            "spacing_mm": _rounded(spacing),
            "missing": max(1, round(spacing / middle) - 1),
        }
        for index, spacing in enumerate(spacings)
        if middle and spacing > max(GAP_FACTOR * middle, GAP_THICKNESS * (slices[index].frame.slice_thickness or 0.0))
    ]


def _overlaps(slices: Sequence[PlacedSlice], spacings: Sequence[float]) -> list[dict[str, Any]]:
    """Runs of slices in which each reaches into the next by the same length, within rounding."""
    runs: list[dict[str, Any]] = []
    for index, (below, spacing) in enumerate(zip(slices, spacings, strict=False)):
        depth = (below.frame.slice_thickness or 0.0) - spacing
        if depth <= OVERLAP_MM:
            continue
        last = runs[-1] if runs else None
        if last and last["last_slice"] == index and abs(last["overlap_mm"] - depth) <= DISTINCT_SPACING_MM:
            last["last_slice"] = index + 1
        else:
            runs.append({"first_slice": index, "last_slice": index + 1, "overlap_mm": _rounded(depth)})
    return runs


def _instance_order(slices: Sequence[PlacedSlice]) -> str | None:
    """How InstanceNumber runs along the stack; None where numbers are missing or all the same."""
    numbers = [item.frame.instance_number for item in slices]
    known = [number for number in numbers if number is not None]
    if len(known) < max(2, len(numbers)) or len(set(known)) == 1:
        return None
    if all(below < above for below, above in pairwise(known)):
        return "rising"
    return "falling" if all(below > above for below, above in pairwise(known)) else "mixed"


def normal_angle(orientation: Orientation) -> float:
    """Angle between the slice normal and the patient's long axis, degrees, 0 to 90."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(normal_of(orientation)[2]))))))


def pixel_spacing(slices: Sequence[PlacedSlice]) -> list[float] | None:
    """Distance between rows and between columns of the middle slice, mm; None when no slice says."""
    known = [item.frame.pixel_spacing for item in slices if item.frame.pixel_spacing is not None]
    return None if not known else [round(value, 6) for value in known[len(known) // 2]]


def _tilt(slices: Sequence[PlacedSlice], angle: float) -> float:
    """The scanner's own figure where all slices carry the same, else the angle of the normal."""
    written = {item.frame.gantry_tilt for item in slices}
    value = written.pop() if len(written) == 1 else None
    return round(angle if value is None else value, 2)


def _distinct(values: Sequence[float], tolerance: float) -> list[float]:
    """Means of the clusters of values that lie within the tolerance of their smallest member."""
    clusters: list[list[float]] = []
    for value in sorted(values):
        if clusters and value - clusters[-1][0] <= tolerance:
            clusters[-1].append(value)
        else:
            clusters.append([value])
    return [_rounded(sum(cluster) / len(cluster)) for cluster in clusters[:MAX_LISTED]]


def _rounded(value: float) -> float:
    return round(value, 3)
