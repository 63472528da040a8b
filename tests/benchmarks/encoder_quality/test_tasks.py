"""Tasks on made-up series whose answers are known, and the report of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.encoder_quality.landmarks import levels, regions
from benchmarks.encoder_quality.report import markdown, measure
from benchmarks.encoder_quality.series import EvaluationSeries, read_series
from benchmarks.encoder_quality.tasks import auroc, block_sizes, make_tasks
from benchmarks.slices import Stack

MARKS = {"kidney_top": 7, "liver_top": 15, "carina": 23, "lung_apex": 31}


def made_up(name: str, n_slices: int, *, lesion: range | None = None, organs: bool = False) -> EvaluationSeries:
    """A series without pictures."""
    marked = np.zeros(n_slices, bool)
    if lesion is not None:
        marked[lesion] = True
    places = np.arange(n_slices)
    return EvaluationSeries(
        name,
        Stack(Path(), name, ()),
        5.0,
        regions(n_slices, MARKS),
        levels(n_slices, 5.0, MARKS),
        None if lesion is None else marked,
        np.ones(n_slices, bool),
        np.stack([places < 12, places > 18, places < 1], axis=1) if organs else np.zeros((n_slices, 0), bool),
    )


SERIES = (made_up("one", 40, lesion=range(12, 24), organs=True), made_up("two", 36, lesion=range(20, 22)))


def telling(series: tuple[EvaluationSeries, ...]) -> NDArray[np.float32]:
    """Features that say where a slice lies, what is in it and a little of which series it is of."""
    random = np.random.default_rng(0)
    parts = []
    for index, each in enumerate(series):
        lesion = np.zeros(len(each)) if each.lesion is None else each.lesion
        organs = each.organs if each.organs.shape[1] else np.zeros((len(each), 3))
        level = each.level[:, None] - np.arange(-1, 5)[None, :]
        parts.append(np.concatenate([np.exp(-(level**2)), np.eye(5)[each.region], organs, lesion[:, None]], axis=1))
        parts[-1] += 0.05 * index + 0.01 * random.standard_normal(parts[-1].shape)
    return np.concatenate(parts).astype(np.float32)


def dumb(series: tuple[EvaluationSeries, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((sum(map(len, series)), 12)).astype(np.float32)


def test_telling_features_beat_dumb_ones_everywhere() -> None:
    for task in make_tasks(SERIES):
        everything = np.arange(len(task.members))
        good, bad = (task.answer(features)(everything) for features in (telling(SERIES), dumb(SERIES)))
        assert (good > bad) == task.higher_is_better, task.name
        if task.measure == "share of slices":
            assert 0.0 <= bad < good <= 1.0
            assert bad < task.chance + 0.35


def test_there_is_a_task_for_everything_that_is_known() -> None:
    names = [task.name for task in make_tasks(SERIES)]
    for start in ("region, other blocks", "region, other patients", "organs of one", "lesion slices of one"):
        assert sum(name.startswith(start) for name in names) == 2
    assert not any(name.startswith("organs of two") for name in names)
    slice_by_slice = {task.name: "slice by slice" in task.measure for task in make_tasks(SERIES)}
    assert slice_by_slice["lesion slices of two, k-NN"]
    assert not slice_by_slice["lesion slices of one, k-NN"]


def test_blocks_of_members_follow_their_series() -> None:
    assert block_sizes(SERIES, np.arange(76)) == ([40, 36], [6, 6])
    assert block_sizes(SERIES, np.arange(50, 60)) == ([10], [6])


def test_auroc_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(4)
    truth = random.random(50) < 0.3
    score = random.integers(5, size=50).astype(float)
    assert auroc(truth, score) == pytest.approx(roc_auc_score(truth, score))
    assert np.isnan(auroc(np.ones(4, bool), np.arange(4.0)))


def test_the_report_judges_the_first_encoder() -> None:
    figures = measure(SERIES, {"telling": telling(SERIES), "dumb": dumb(SERIES)}, 40)
    assert figures == measure(SERIES, {"telling": telling(SERIES), "dumb": dumb(SERIES)}, 40)
    verdicts = [task["differences"]["dumb"]["verdict"] for task in figures["tasks"]]
    assert verdicts.count("better") > len(verdicts) / 2
    assert "worse" not in verdicts
    for task in figures["tasks"]:
        best = task["encoders"]["telling"]
        assert best["low"] <= best["high"]
        assert task["patients"] in {1, 2}
    turned = measure(SERIES, {"dumb": dumb(SERIES), "telling": telling(SERIES)}, 40)
    assert [task["differences"]["telling"]["verdict"] for task in turned["tasks"]].count("worse") == verdicts.count(
        "better"
    )
    table = markdown(figures).splitlines()
    assert len(table) == len(figures["tasks"]) + 2
    assert len({line.count(" | ") for line in (table[0], *table[2:])}) == 1


def test_the_real_series_are_labelled(real_ct: Path, tmp_path: Path) -> None:
    series = {each.name: each for each in read_series(tmp_path, real_ct)}
    assert {name: len(each) for name, each in series.items()} == {
        "example": 30,
        "ircad17": 119,
        "ge_chest": 135,
        "lung1": 48,
    }
    ircad, lung1 = series["ircad17"], series["lung1"]
    assert ircad.lesion is not None
    assert lung1.lesion is not None
    assert list(np.nonzero(lung1.lesion)[0]) == [32, 33, 34]
    assert list(np.nonzero(ircad.lesion)[0]) == list(range(78, 114))
    assert ircad.candidates.sum() == 113
    assert set(series["example"].region) == {0, 1}
    assert series["example"].organs[:, 0].dtype == bool
    assert set(series["ge_chest"].region) == {0, 1, 2, 3, 4}
