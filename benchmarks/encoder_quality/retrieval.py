"""Finding slices by their features: the neighbour of a slice, and the same place in another patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_quality.probes import Features, cosines, standardise

_ROUNDING_MM = 1e-6


def neighbour_ranks(
    features: Features, series: NDArray[np.int64], z_mm: NDArray[np.float64], past_mm: float = 0.0
) -> NDArray[np.int64]:
    """Rank of the nearer of a slice's two neighbours among all other slices of all series: (slices,), 1 is best.

    Args:
        features: (slices, D), series after series, from inferior to superior.
        series: (slices,) number of each slice's series.
        z_mm: (slices,) height in its series.
        past_mm: slices of the own series up to this distance are not there, so that the neighbours are the first ones past it.
    """
    own = series[:, None] == series[None, :]
    distance = np.where(own, np.abs(z_mm[:, None] - z_mm[None, :]), np.inf)
    gone = distance <= past_mm + _ROUNDING_MM
    distance[gone] = np.inf
    beside = distance <= distance.min(axis=1, keepdims=True) + _ROUNDING_MM
    alike = np.where(gone, -np.inf, _alike(features))
    order = np.argsort(-alike, axis=1, kind="stable")
    return np.take_along_axis(beside, order, axis=1).argmax(axis=1).astype(np.int64) + 1


def best_elsewhere(features: Features, series: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most alike slice of another series, for every slice: (slices,) indices; arguments as for `neighbour_ranks`."""
    alike = _alike(features)
    alike[series[:, None] == series[None, :]] = -np.inf
    return alike.argmax(axis=1).astype(np.int64)


def _alike(features: Features) -> NDArray[np.float32]:
    scaled, _ = standardise(features, features)
    return cosines(scaled, scaled)
