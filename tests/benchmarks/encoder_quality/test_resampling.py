"""Block bootstrap: it covers a truth that is known, and honours blocks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.encoder_quality.resampling import block_length, draw_blocks, estimates

N_SLICES = 200
CARRIED = 0.8  # of a slice's value by the next: what neighbours share
BLOCK = 20


def correlated(random: np.random.Generator) -> NDArray[np.float64]:
    """A series of mean 0 whose neighbours are alike (an autoregression)."""
    values = np.empty(N_SLICES)
    values[0] = random.standard_normal() / np.sqrt(1 - CARRIED**2)
    for index in range(1, N_SLICES):
        values[index] = CARRIED * values[index - 1] + random.standard_normal()
    return values


def covered(block: int, trials: int = 100) -> float:
    """Share of trials whose interval of the mean holds the truth, 0."""
    random = np.random.default_rng(7)
    draws = draw_blocks([N_SLICES], [block], 150, seed=1)
    hits = 0
    for _ in range(trials):
        values = correlated(random)
        single, _ = estimates({"mean": lambda places, values=values: float(values[places].mean())}, N_SLICES, draws)
        hits += single["mean"].low <= 0.0 <= single["mean"].high
    return hits / trials


def test_blocks_cover_a_known_truth_where_single_slices_do_not() -> None:
    """95 % is the aim; blocks of 20 reach nearly that, single slices a little more than half."""
    assert covered(BLOCK) >= 0.85
    assert covered(1) <= 0.65


def test_intervals_of_blocks_are_wider_than_those_of_slices() -> None:
    values = correlated(np.random.default_rng(3))
    widths = []
    for block in (1, BLOCK):
        draws = draw_blocks([N_SLICES], [block], 500, seed=2)
        single, _ = estimates({"mean": lambda places: float(values[places].mean())}, N_SLICES, draws)
        widths.append(single["mean"].high - single["mean"].low)
    assert widths[1] > 1.8 * widths[0]


def test_slices_of_a_block_come_together_and_no_series_lends_to_another() -> None:
    sizes, blocks = [12, 30], [4, 5]
    for draw in draw_blocks(sizes, blocks, 50, seed=0):
        first, second = draw[:12], draw[12:]
        assert set(first) <= set(range(12))
        assert set(second) <= set(range(12, 42))
        for part, size, block, offset in ((first, 12, 4, 0), (second, 30, 5, 12)):
            steps = np.diff((part - offset).reshape(-1, block), axis=1) % size
            assert (steps == 1).all()


def test_every_slice_is_drawn_as_often_as_any_other() -> None:
    counts = np.bincount(np.concatenate(draw_blocks([20], [6], 4000, seed=0)), minlength=20)
    assert counts.min() > 0.9 * counts.mean()
    assert counts.max() < 1.1 * counts.mean()


def test_a_series_shorter_than_a_block_is_drawn_whole() -> None:
    for draw in draw_blocks([3], [10], 5, seed=0):
        assert sorted(draw) == [0, 1, 2]


def test_differences_are_paired() -> None:
    """Two figures that differ by a constant: their difference has no spread, though each has."""
    values = correlated(np.random.default_rng(5))
    draws = draw_blocks([N_SLICES], [BLOCK], 100, seed=0)
    single, paired = estimates(
        {
            "one": lambda places: float(values[places].mean() + 0.25),
            "other": lambda places: float(values[places].mean()),
        },
        N_SLICES,
        draws,
    )
    difference = paired["one", "other"]
    assert (difference.low, difference.value, difference.high) == pytest.approx((0.25, 0.25, 0.25))
    assert single["one"].high - single["one"].low > 0.1


def test_samples_without_a_figure_do_not_count() -> None:
    draws = draw_blocks([10], [1], 200, seed=0)
    single, _ = estimates({"f": lambda places: 1.0 if 3 in places else float("nan")}, 10, draws)
    assert (single["f"].value, single["f"].low, single["f"].high) == (1.0, 1.0, 1.0)
    none, _ = estimates({"f": lambda places: float("nan")}, 10, draws)
    assert np.isnan(none["f"].low)


def test_blocks_are_of_the_asked_length() -> None:
    assert [block_length(spacing, 30.0) for spacing in (1.6, 3.0, 5.0, 100.0)] == [19, 10, 6, 1]
