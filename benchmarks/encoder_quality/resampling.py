"""Intervals by the moving-block bootstrap: neighbouring slices are alike, so that they are drawn together or not at all.

Kuensch, The jackknife and the bootstrap for general stationary observations, Ann. Stat. 17 (1989); blocks wrap around at the end of a series, as Politis and Romano
(1992) have it, so that every slice is drawn as often as any other. Series stay: an interval speaks of these patients, not of patients to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.int64]], float]
"""A figure of some slices, given as indices with repeats; NaN where it is not defined for them."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: of all slices.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def block_length(spacing_mm: float, block_mm: float) -> int:
    """Slices of a block; at least one."""
    return max(1, round(block_mm / spacing_mm))


def draw_blocks(sizes: Sequence[int], blocks: Sequence[int], n_draws: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Indices of the slices of `n_draws` samples; each has as many slices of every series as the series.

    Args:
        sizes: slices of each series; indices run through the series one after another.
        blocks: slices of a block in each series.
        n_draws: how many samples.
        seed: the same seed, the same samples.
    """
    random = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    draws = []
    for _ in range(n_draws):
        parts = []
        for first, size, block in zip(starts, sizes, blocks, strict=False):
            length = min(block, size)
            begins = random.integers(size, size=-(-size // length))
            inside = (begins[:, None] + np.arange(length)).reshape(-1)[:size] % size
            parts.append(first + inside)
        draws.append(np.concatenate(parts).astype(np.int64))
    return tuple(draws)


def estimates(
    statistics: Mapping[str, Statistic], n_slices: int, draws: Sequence[NDArray[np.int64]]
) -> tuple[dict[str, Estimate], dict[tuple[str, str], Estimate]]:
    """Figures and their paired differences, from the same samples.

    Args:
        statistics: by name, such as that of an encoder; all speak of the same slices.
        n_slices: in all.
        draws: from `draw_blocks`. Those for which a figure is NaN do not count.

    Returns:
        By name; and by (first, later) name, first minus later.
    """
    everything = np.arange(n_slices)
    values = {name: statistic(everything) for name, statistic in statistics.items()}
    drawn = {name: np.array([statistic(draw) for draw in draws]) for name, statistic in statistics.items()}
    names = list(statistics)
    single = {name: _estimate(values[name], drawn[name]) for name in names}
    paired = {
        (one, other): _estimate(values[one] - values[other], drawn[one] - drawn[other])
        for position, one in enumerate(names)
        for other in names[position + 1 :]
    }
    return single, paired


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    kept = drawn[np.isfinite(drawn)]
    if not len(kept):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
