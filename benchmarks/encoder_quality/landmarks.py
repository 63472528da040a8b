"""Where a slice lies in the body: regions and levels between landmarks that can be told in a chest or an abdomen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# From inferior to superior. A region ends with the landmark's slice; the last has no upper end.
LANDMARKS = ("kidney_top", "liver_top", "carina", "lung_apex")
REGIONS = ("kidneys", "upper_abdomen", "lower_chest", "upper_chest", "neck")
# Of adults, about: what a level is worth where a series ends before the next landmark.
LEVEL_MM = 90.0


def regions(n_slices: int, landmarks: Mapping[str, int]) -> NDArray[np.int64]:
    """Region of every slice, as an index of REGIONS.

    Args:
        n_slices: of the series, from inferior to superior.
        landmarks: slice of each landmark that the series reaches, 0-based; those below the series are -1, those above it are left out.
    """
    ends = [landmarks.get(name, n_slices) for name in LANDMARKS]
    return np.searchsorted(np.array(ends), np.arange(n_slices), side="left").astype(np.int64)


def levels(n_slices: int, spacing_mm: float, landmarks: Mapping[str, int]) -> NDArray[np.float64]:
    """Height of every slice in landmarks: 0 at the top of the kidneys, 1 at that of the liver, 2 at the carina, 3 at the apex of the lungs.

    Linear between two landmarks of the series; LEVEL_MM a level beyond the last.

    Args:
        n_slices: of the series, from inferior to superior.
        spacing_mm: distance of slices.
        landmarks: as for `regions`; at least one inside the series.
    """
    known = [(index, landmarks[name]) for index, name in enumerate(LANDMARKS) if landmarks.get(name, -1) >= 0]
    if not known:
        raise ValueError("a series needs a landmark")
    value, at = np.array(known, float).T
    slices = np.arange(n_slices, dtype=float)
    height = np.interp(slices, at, value)
    step = spacing_mm / LEVEL_MM
    below, above = slices < at[0], slices > at[-1]
    height[below] = value[0] + (slices[below] - at[0]) * step
    height[above] = value[-1] + (slices[above] - at[-1]) * step
    return height
