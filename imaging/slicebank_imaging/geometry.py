"""The geometry of a stack, described and never refused: tilt, spacing along the normal, gaps, overlap."""

from collections.abc import Sequence
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

Source = Literal["image_position", "slice_location", "single"]


def describe(slices: Sequence[PlacedSlice], orientation: Orientation, source: Source) -> dict[str, Any]:
    """Describe an ordered stack as JSON; lengths in mm, angles in degrees.

    `spacing_mm` is measured along the normal, so that a tilted gantry does not stretch it.
    """
    frames = [item.frame for item in slices]
    spacings = [above.z_mm - below.z_mm for below, above in pairwise(slices)]
    middle = median(spacings) if spacings else None
    thicknesses = _distinct([frame.slice_thickness for frame in frames if frame.slice_thickness is not None], 1e-3)
    angle = normal_angle(orientation)
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
        "gaps": [
            {"after_slice": index, "spacing_mm": _rounded(spacing)}
            for index, spacing in enumerate(spacings)
            if middle is not None
            and spacing > max(GAP_FACTOR * middle, GAP_THICKNESS * (frames[index].slice_thickness or 0.0))
        ][:MAX_LISTED],
        "overlapping": any(
            below.frame.slice_thickness is not None and spacing < below.frame.slice_thickness - OVERLAP_MM
            for below, spacing in zip(slices, spacings, strict=False)
        ),
        "source": source,
    }


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
