import json
import math
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from slicebank_models.errors import NothingToCompare
from slicebank_models.heads.protocol import Calibration, ProtocolSpec
from slicebank_models.heads.spec import TaskKind
from slicebank_models.heads.targets import Case
from slicebank_models.training.comparison import compare_heads, delong
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_report

SCORES = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])


def by_pairs(truth: np.ndarray, scores: list[np.ndarray]) -> tuple[list[float], np.ndarray]:
    """Areas and their covariance by the definition of 1988: every positive against every negative."""
    wins = [
        np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in score[~truth]] for p in score[truth]])
        for score in scores
    ]
    of_positives = np.array([table.mean(axis=1) for table in wins])
    of_negatives = np.array([table.mean(axis=0) for table in wins])
    covariance = np.cov(of_positives) / of_positives.shape[1] + np.cov(of_negatives) / of_negatives.shape[1]
    return [float(table.mean()) for table in wins], covariance


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.booleans(), SCORES, SCORES), min_size=4, max_size=30))
def test_delong_is_its_definition(rows: list[tuple[bool, float, float]]) -> None:
    truth, first, second = (np.array(column) for column in zip(*rows, strict=True))
    if min(truth.sum(), (~truth).sum()) < 2:
        return
    areas, covariance = by_pairs(truth, [first, second])
    found = delong(truth, first, second)
    assert [found.first, found.second] == pytest.approx(areas)
    assert found.first == pytest.approx(roc_auc_score(truth, first))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.variance == pytest.approx(variance, abs=1e-12)
    if variance > 1e-9:
        assert found.z == pytest.approx((areas[0] - areas[1]) / math.sqrt(variance))
        assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.959964 * math.sqrt(variance), rel=1e-6)


def test_delong_keeps_its_level_and_sees_a_difference() -> None:
    """Two equally noisy scores differ at p < 0.05 in one of twenty samples; a noisier one is found out."""
    generator = np.random.default_rng(0)
    same, worse, runs = 0, 0, 400
    for _ in range(runs):
        truth = generator.random(100) < 0.4
        shared, one, two = generator.normal(size=(3, 100))
        signal = truth + 0.7 * shared
        same += (delong(truth, signal + one, signal + two).p_value or 0) < 0.05
        worse += (delong(truth, signal + 0.3 * one, signal + 2.5 * two).p_value or 1) < 0.05
    assert 0.025 <= same / runs <= 0.08  # 0.05 by 2.4 standard errors of 400 runs
    assert worse / runs > 0.6


def test_equal_scores_do_not_differ() -> None:
    truth = np.array([True, False, True, False, True])
    score = np.array([0.9, 0.1, 0.4, 0.5, 0.8])
    found = delong(truth, score, score)
    assert (found.z, found.p_value, found.interval) == (0.0, 1.0, (0.0, 0.0))
    turned = delong(np.array([True, True, False, False]), np.array([4.0, 3, 2, 1]), np.array([1.0, 2, 3, 4]))
    assert (turned.first, turned.second, turned.z, turned.p_value) == (1.0, 0.0, None, None)


@pytest.mark.parametrize("kind", list(TaskKind))
def test_two_reports_are_compared_on_what_both_measured(kind: TaskKind) -> None:
    protocol = ProtocolSpec(bootstrap=0, calibration=Calibration.NONE)
    first = drawn_report(kind, protocol=protocol).report
    second = deepcopy(first)
    generator = np.random.default_rng(1)
    key = "outputs" if kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL) else "probabilities"
    for row in second["out_of_fold"]:
        row[key] = row["outputs"] = generator.random(TASKS[kind].n_outputs).tolist()
    del second["out_of_fold"][:10]
    generator.shuffle(second["out_of_fold"])
    found = compare_heads(first, second, resamples=300)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["n_units"], found["n_patients"], found["left_out"]) == (86, 86, {"first": 10, "second": 0})
    name = {TaskKind.REGRESSION: "mae", TaskKind.SURVIVAL: "c_index"}.get(kind, "auroc")
    about = found["metrics"][name]
    assert about["difference"] == about["first"] - about["second"]
    assert about["p_value"] < 0.05 or kind is TaskKind.REGRESSION
    assert about["interval"][0] <= about["difference"] <= about["interval"][1]
    by_label = next(iter(found["labels"].values()))[name]
    classified = kind not in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    assert by_label["method"] == ("delong" if classified else "paired_bootstrap")
    assert about["method"] == ("delong" if kind is TaskKind.BINARY else "paired_bootstrap")
    back = compare_heads(second, first, resamples=300)["metrics"][name]
    assert back["difference"] == pytest.approx(-about["difference"])
    assert back["p_value"] == pytest.approx(about["p_value"])


def test_the_bootstrap_agrees_with_delong() -> None:
    generator = np.random.default_rng(3)
    truth = generator.random(400) < 0.4
    cases = [Case(at, f"p{at}", (int(value),)) for at, value in enumerate(truth)]
    protocol = ProtocolSpec(bootstrap=0, calibration=Calibration.NONE)
    first = drawn_report(TaskKind.BINARY, cases=cases, protocol=protocol).report
    second = deepcopy(first)
    for row in second["out_of_fold"]:
        row["outputs"] = [float(row["outputs"][0] + generator.normal(0, 0.5))]
    tested = compare_heads(first, second)["metrics"]["auroc"]
    # Each patient twice: the same figures, but no longer independent, so the bootstrap of patients takes over.
    for report in (first, second):
        report["out_of_fold"] += [{**row, "unit": row["unit"] + "b"} for row in report["out_of_fold"]]
    doubled = compare_heads(first, second)
    drawn = doubled["metrics"]["auroc"]
    assert (tested["method"], drawn["method"]) == ("delong", "paired_bootstrap")
    assert doubled["n_units"] == 2 * doubled["n_patients"]
    assert drawn["difference"] == pytest.approx(tested["difference"])
    assert drawn["interval"] == pytest.approx(tested["interval"], abs=0.015)


def test_what_cannot_be_compared_is_said() -> None:
    protocol = ProtocolSpec(bootstrap=0)
    binary = drawn_report(TaskKind.BINARY, protocol=protocol).report
    with pytest.raises(NothingToCompare, match="different questions"):
        compare_heads(binary, drawn_report(TaskKind.MULTICLASS, protocol=protocol).report)
    others = deepcopy(binary)
    for row in others["out_of_fold"]:
        row["unit"] += " elsewhere"
    with pytest.raises(NothingToCompare, match="0 measured cases in common"):
        compare_heads(binary, others)
    with pytest.raises(NothingToCompare, match="part must be one of"):
        compare_heads(binary, binary, part="train")


def test_where_delong_has_no_variance_the_bootstrap_stays() -> None:
    report = drawn_report(TaskKind.BINARY, n=40, protocol=ProtocolSpec(bootstrap=200)).report
    parted, turned = deepcopy(report), deepcopy(report)
    for row in parted["out_of_fold"]:
        row["outputs"] = row["probabilities"] = [0.9 if row["target"][0] else 0.1]
    for row in turned["out_of_fold"]:
        row["outputs"] = row["probabilities"] = [0.1 if row["target"][0] else 0.9]
    about = compare_heads(parted, turned)["metrics"]["auroc"]
    assert about["p_value"] is not None
    assert about["p_value"] < 0.05
    assert about.get("method") != "delong"
