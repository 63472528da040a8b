"""Retrieval against loops, and places in the body."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from benchmarks.encoder_quality.landmarks import LEVEL_MM, REGIONS, levels, regions
from benchmarks.encoder_quality.retrieval import best_elsewhere, neighbour_ranks

SERIES = np.repeat([0, 1, 2], [9, 6, 7])
Z_MM = np.concatenate([np.arange(9) * 2.0, np.arange(6) * 5.0, np.arange(7) * 3.0])


@pytest.mark.parametrize("past_mm", [0.0, 4.0, 6.0])
def test_ranks_are_those_of_a_loop(past_mm: float) -> None:
    features = np.random.default_rng(0).standard_normal((len(SERIES), 5)).astype(np.float32)
    scaled = StandardScaler().fit_transform(features)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    for query, rank in enumerate(neighbour_ranks(features, SERIES, Z_MM, past_mm)):
        own = [i for i in range(len(SERIES)) if SERIES[i] == SERIES[query]]
        gone = [i for i in own if abs(Z_MM[i] - Z_MM[query]) <= past_mm + 1e-9]
        left = [i for i in own if i not in gone]
        nearest = min(abs(Z_MM[i] - Z_MM[query]) for i in left)
        wanted = [i for i in left if abs(Z_MM[i] - Z_MM[query]) <= nearest + 1e-9]
        gallery = [i for i in range(len(SERIES)) if i not in gone]
        best = max(float(scaled[query] @ scaled[i]) for i in wanted)
        assert rank == 1 + sum(float(scaled[query] @ scaled[i]) > best + 1e-7 for i in gallery)


def test_features_that_follow_the_height_find_the_neighbour() -> None:
    angle = np.concatenate([index + np.linspace(0, 0.8, np.count_nonzero(index == SERIES)) for index in range(3)])
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    assert (neighbour_ranks(features, SERIES, Z_MM) == 1).mean() > 0.9


def test_the_best_elsewhere_is_of_another_series() -> None:
    features = np.random.default_rng(1).standard_normal((len(SERIES), 8)).astype(np.float32)
    features[20] = features[2] * 1.0
    found = best_elsewhere(features, SERIES)
    assert (SERIES[found] != SERIES).all()
    assert found[2] == 20
    assert found[20] == 2


def test_regions_end_at_their_landmarks() -> None:
    marks = {"kidney_top": 1, "liver_top": 3, "carina": 6, "lung_apex": 7}
    names = [REGIONS[index] for index in regions(10, marks)]
    assert names == [
        *["kidneys"] * 2,
        *["upper_abdomen"] * 2,
        *["lower_chest"] * 3,
        "upper_chest",
        *["neck"] * 2,
    ]
    assert set(regions(5, {"kidney_top": -1, "liver_top": 1})) == {1, 2}
    assert set(regions(5, {"kidney_top": 2})) == {0, 1}


def test_levels_are_linear_between_landmarks_and_go_on_beyond() -> None:
    found = levels(9, 9.0, {"kidney_top": 2, "liver_top": 6})
    assert found[2:7] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert found[0] == pytest.approx(-2 * 9.0 / LEVEL_MM)
    assert found[8] == pytest.approx(1 + 2 * 9.0 / LEVEL_MM)
    with pytest.raises(ValueError, match="landmark"):
        levels(5, 1.0, {"kidney_top": -1})
