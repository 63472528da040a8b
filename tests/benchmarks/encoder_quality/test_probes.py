"""Folds, k nearest neighbours and the linear probe."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks.encoder_quality.probes import (
    NEIGHBOURS,
    PROBE_C,
    blocks_held_out,
    linear_probe,
    nearest_neighbours,
    series_held_out,
    standardise,
)


def test_blocks_judge_every_slice_once_and_learn_from_none_beside_it() -> None:
    members = np.arange(100, 147)
    judged = []
    for learn, judge in blocks_held_out(members, 10, 3):
        judged.extend(judge)
        assert np.abs(learn[:, None] - judge[None, :]).min() > 3
        assert 10 <= len(judge) < 20
        assert len(learn) + len(judge) >= len(members) - 6
    assert judged == list(members)


def test_a_short_series_is_one_block() -> None:
    ((learn, judge),) = blocks_held_out(np.arange(4), 10, 1)
    assert len(learn) == 0
    assert list(judge) == [0, 1, 2, 3]


def test_series_are_held_out_whole() -> None:
    series = np.array([0, 0, 1, 1, 1, 2])
    folds = list(series_held_out(series))
    assert [list(judge) for _, judge in folds] == [[0, 1], [2, 3, 4], [5]]
    assert all(not set(series[learn]) & set(series[judge]) for learn, judge in folds)


def test_neighbours_vote() -> None:
    """Three near and two far: the near ones are of the class of the judged."""
    learn = np.array([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [-1.0, 0.2], [-1.0, -0.2]], np.float32)
    found = nearest_neighbours(learn, np.array([1, 1, 1, 0, 0]), learn[:1], 3)
    assert len(learn) == NEIGHBOURS
    assert found == pytest.approx(np.array([[0.4, 0.6, 0.0]]))


def test_units_do_not_matter() -> None:
    random = np.random.default_rng(0)
    learn, judge = (random.standard_normal((n, 6)).astype(np.float32) for n in (40, 10))
    truth = (learn[:, 0] > 0).astype(np.int64)
    unit = np.array([1.0, 1000.0, 1.0, 0.01, 1.0, 1.0], np.float32)
    for learner in (nearest_neighbours, linear_probe):
        assert learner(learn * unit, truth, judge * unit, 2) == pytest.approx(learner(learn, truth, judge, 2), abs=1e-3)


@pytest.mark.parametrize("dim", [5, 300])
def test_the_probe_is_the_logistic_regression_of_all_dimensions(dim: int) -> None:
    """With more dimensions than slices it is computed in the span of the slices, which changes nothing."""
    random = np.random.default_rng(1)
    learn, judge = (random.standard_normal((n, dim)).astype(np.float32) for n in (60, 20))
    truth = np.digitize(learn[:, 0], [-0.5, 0.5])
    scaled_learn, scaled_judge = standardise(learn, judge)
    whole = LogisticRegression(C=PROBE_C, max_iter=5000, tol=1e-8).fit(scaled_learn, truth).predict_proba(scaled_judge)
    assert linear_probe(learn, truth, judge, 3) == pytest.approx(whole, abs=2e-3)


def test_classes_that_were_not_learnt_have_no_probability() -> None:
    learn = np.random.default_rng(2).standard_normal((20, 4)).astype(np.float32)
    found = linear_probe(learn, np.repeat([1, 3], 10), learn[:3], 5)
    assert (found[:, [0, 2, 4]] == 0).all()
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert (linear_probe(learn, np.full(20, 2), learn[:3], 5)[:, 2] == 1).all()


def test_standardised_features_have_mean_0_and_spread_1_and_constants_say_nothing() -> None:
    random = np.random.default_rng(3)
    learn = (random.standard_normal((50, 3)) * [1.0, 50.0, 0.0] + [0.0, -7.0, 0.3]).astype(np.float32)
    scaled, judged = standardise(learn, learn[:5] + np.float32(0.0))
    assert scaled.mean(axis=0) == pytest.approx(0.0, abs=1e-5)
    assert scaled.std(axis=0) == pytest.approx([1.0, 1.0, 0.0], abs=1e-5)
    assert judged == pytest.approx(scaled[:5])
