"""Where the voxels of one axis of a volume are read, by the two conventions of the encoders' own code.

| | `monai` | `torch_trilinear` |
|---|---|---|
| as in | MONAI's Orientation, Spacing (bilinear, border), ScaleIntensityRange, SpatialPad, CenterSpatialCrop: Merlin, CT-FM | torch's interpolate (trilinear, align_corners=False), centre crop, pad: CT-CLIP |
| voxels | round((n - 1) d / D) + 1, halves to even | int(n d / D) |
| voxel j is read at | j D / d: the first voxel stays where it is | (j + 0.5) n / m - 0.5 |
| beyond the ends | the value at the end | the same |
| too many voxels, n for S | first kept: n // 2 - S // 2 | (n - S) // 2 |
| too few | (S - n) // 2 before, the rest after | the same |
| HU are clipped | after interpolation | before |

with n voxels of spacing d before, m of spacing D after. Neither averages: where voxels grow, some of the scan is not read, as the
encoders were trained. Positions along the slices are real ones: a stack of even spacing is read exactly as a volume is, one with gaps
or uneven spacing is interpolated over the real distances.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.volume_frame import AxisMatch, Convention, StackPlace

# MONAI leaves an axis alone whose spacing is as near as this to the one wanted (AFFINE_TOL).
_SAME_SPACING_MM = 1e-3
# Positions along a normal carry the rounding of direction cosines; a count must not depend on it.
_COUNT_DECIMALS = 6
_SPACING_DECIMALS = 4


class AxisSampling(NamedTuple):
    """One axis of the volume.

    Attributes:
        at: (kept,) where each voxel inside the scan is read: index along the stack's axis (mm above the lowest slice for slices), in
            the order of the array.
        first: index in the array of the first of them; voxels before and after are outside the scan.
    """

    at: NDArray[np.float64]
    first: int


def sample_axis(
    count: int, spacing_mm: float, wanted_mm: float, size: int, convention: Convention, *, backwards: bool
) -> AxisSampling:
    """Plans an axis of evenly spaced samples.

    Args:
        count: samples along the stack's axis.
        spacing_mm: their distance.
        wanted_mm: distance of voxels.
        size: voxels of the volume.
        convention: see the module.
        backwards: the array counts against the stack.
    """
    if convention is Convention.MONAI:
        step = 1.0 if abs(spacing_mm - wanted_mm) <= _SAME_SPACING_MM else wanted_mm / spacing_mm
        resized = int(np.round(round((count - 1) / step, _COUNT_DECIMALS))) + 1
        first_kept = max(0, resized // 2 - size // 2)
        at = np.arange(resized) * step
    else:
        resized = max(1, int(count * (spacing_mm / wanted_mm)))
        first_kept = max(0, (resized - size) // 2)
        at = (np.arange(resized) + 0.5) * (count / resized) - 0.5
    kept = np.clip(at[first_kept : first_kept + size], 0.0, count - 1.0)
    return AxisSampling(count - 1.0 - kept if backwards else kept, max(0, (size - resized) // 2))


def sample_slices(
    stack: StackPlace, match: AxisMatch, wanted_mm: float, size: int, convention: Convention
) -> AxisSampling:
    """Plans the axis along the normal; `at` is in mm above the lowest slice.

    Slices count as many as would fill the stack at their usual spacing, so that a gap is as long as it is.
    """
    spacing = stack.spacing_mm
    if spacing is None:
        thickness = stack.thickness_mm or wanted_mm
        only = sample_axis(1, thickness, wanted_mm, size, convention, backwards=False)
        return AxisSampling(np.zeros(len(only.at)), only.first)
    count = max(2, round(stack.extent_mm / spacing) + 1)
    even = stack.extent_mm / (count - 1)
    nominal = even if convention is Convention.MONAI else round(even, _SPACING_DECIMALS)
    sampling = sample_axis(count, nominal, wanted_mm, size, convention, backwards=match.reversed)
    return AxisSampling(sampling.at * even, sampling.first)
