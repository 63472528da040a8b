import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.metrics import metric_names, over_folds, task_metrics
from tests.models.training.labelled_cases import TASKS

with warnings.catch_warnings():
    # Both import what pandas and NumPy are about to drop; that is theirs to mend.
    warnings.simplefilter("ignore")
    from lifelines.utils import concordance_index
    from sksurv.metrics import concordance_index_censored

BINARY = TASKS[TaskKind.BINARY]
PROBABILITIES = st.sampled_from([0.0, 0.13, 0.2, 0.4, 0.5, 0.71, 0.97, 1.0]) | st.floats(0, 1)


def expected_calibration_error(truth: np.ndarray, probability: np.ndarray) -> float:
    """By its definition, bin by bin."""
    total = 0.0
    for low in range(15):
        inside = (probability * 15 >= low) & ((probability * 15 < low + 1) | (low == 14))
        if inside.any():
            total += inside.mean() * abs(probability[inside].mean() - truth[inside].mean())
    return total


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=1, max_size=40))
def test_binary_metrics_are_those_of_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    truth, probability = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    found = task_metrics(BINARY, [(int(t),) for t in truth], probability[:, None])
    label = found["labels"]["lesion"]
    assert (label["n"], label["positives"]) == (len(pairs), truth.sum())
    assert {name: found[name] for name in metric_names(TaskKind.BINARY)} == {
        name: label[name] for name in metric_names(TaskKind.BINARY)
    }
    both = 0 < truth.sum() < len(pairs)
    said = probability >= 0.5
    expected = {
        "auroc": sk.roc_auc_score(truth, probability) if both else None,
        "auprc": sk.average_precision_score(truth, probability) if truth.any() else None,
        "f1": sk.f1_score(truth, said) if truth.any() or said.any() else None,
        "accuracy": sk.accuracy_score(truth, said),
        "brier": sk.brier_score_loss(truth, probability, pos_label=True),
        "ece": expected_calibration_error(truth, probability),
        "sensitivity_at_90_specificity": None,
    }
    if both:
        fpr, tpr, _ = sk.roc_curve(truth, probability, drop_intermediate=False)
        expected["sensitivity_at_90_specificity"] = tpr[fpr <= 0.1 + 1e-12].max()
    for name, value in expected.items():
        assert label[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_regression_metrics_are_those_of_scikit_learn(data: st.DataObject) -> None:
    numbers = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
    truth, value = np.array(pairs).T
    outputs = np.stack([value, np.zeros(len(value))], axis=1)
    found = task_metrics(TASKS[TaskKind.REGRESSION], [(float(t), None) for t in truth], outputs)
    label = found["labels"]["volume"]
    assert found["labels"]["age"] == {"n": 0, "mae": None, "rmse": None, "r2": None}
    assert found["mae"] == label["mae"] == pytest.approx(sk.mean_absolute_error(truth, value))
    assert label["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, value))
    if np.ptp(truth) > 0:
        assert label["r2"] == pytest.approx(sk.r2_score(truth, value), rel=1e-6, abs=1e-9)
    else:
        assert label["r2"] is None


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_c_index_is_that_of_scikit_survival_and_lifelines(data: st.DataObject) -> None:
    small = st.integers(1, 6).map(float)  # ties in times and risks
    times, risks = (small, small) if data.draw(st.booleans()) else (st.floats(0.1, 50), st.floats(-3, 3))
    rows = data.draw(st.lists(st.tuples(times, st.booleans(), risks), min_size=2, max_size=40))
    time, event, risk = (np.array(column) for column in zip(*rows, strict=True))
    targets = [(float(t), int(e)) for t, e in zip(time, event, strict=True)]
    found = task_metrics(TASKS[TaskKind.SURVIVAL], targets, risk[:, None])
    label = found["labels"]["death"]
    assert (label["n"], label["events"]) == (len(rows), event.sum())
    pairs = any(
        event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j]))
        for i in range(len(rows))
        for j in range(len(rows))
    )
    if not pairs:
        assert label["c_index"] is None
        return
    assert found["c_index"] == label["c_index"] == pytest.approx(concordance_index(time, -risk, event), abs=1e-9)
    # scikit-survival takes risks that differ by 1e-8 for ties unless it is told not to.
    theirs = concordance_index_censored(event, time, risk, tied_tol=0)[0]
    assert label["c_index"] == pytest.approx(theirs, abs=1e-9)


def test_a_higher_risk_means_an_earlier_event() -> None:
    targets = [(1.0, 1), (2.0, 1), (3.0, 0), (4.0, 1)]
    task = TASKS[TaskKind.SURVIVAL]
    assert task_metrics(task, targets, np.array([[4.0], [3.0], [2.0], [1.0]]))["c_index"] == 1.0
    assert task_metrics(task, targets, np.array([[1.0], [2.0], [3.0], [4.0]]))["c_index"] == 0.0
    assert task_metrics(task, targets, np.zeros((4, 1)))["c_index"] == 0.5


def test_unknown_answers_do_not_count() -> None:
    task = TaskSpec(TaskKind.MULTILABEL, ("a", "b"))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = task_metrics(task, [(1, None), (0, None), (None, None)], probabilities)
    assert (found["labels"]["a"]["n"], found["labels"]["a"]["auroc"]) == (2, 1.0)
    nothing = dict.fromkeys(metric_names(TaskKind.MULTILABEL))
    assert found["labels"]["b"] == {"n": 0, "positives": 0, **nothing}
    assert found["auroc"] == 1.0


@pytest.mark.parametrize("kind", list(TaskKind))
def test_no_cases_have_no_metrics(kind: TaskKind) -> None:
    task = TASKS[kind]
    found = task_metrics(task, [], np.empty((0, task.n_outputs)))
    assert [found[name] for name in metric_names(kind)] == [None] * len(metric_names(kind))
    assert all(values["n"] == 0 for values in found["labels"].values())


def test_classes_are_measured_one_against_the_rest() -> None:
    task = TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III"))
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]])
    targets = [(0,), (1,), (2,), (1,), (None,)]
    found = task_metrics(task, targets, probabilities)
    assert found["accuracy"] == 0.75
    assert found["labels"]["II"]["auroc"] == 1.0
    assert found["labels"]["II"]["f1"] == pytest.approx(2 / 3)
    assert found["labels"]["I"]["accuracy"] == 0.75
    known, answers = probabilities[:4], np.array([0, 1, 2, 1])
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(answers, known, multi_class="ovr", average="macro"))
    assert found["brier"] == pytest.approx(np.mean([(known[:, k] - (answers == k)) ** 2 for k in range(3)]))


def test_means_and_deviations_skip_what_is_not_defined() -> None:
    def fold(auroc: float | None) -> dict[str, object]:
        values = {"auroc": auroc, "auprc": 0.5, "f1": None, "accuracy": 1.0}
        return {**values, "labels": {"a": {"n": 3, "positives": 1, **values}}}

    mean, sd = over_folds([fold(0.6), fold(None), fold(0.8)])
    assert mean["auroc"] == mean["labels"]["a"]["auroc"] == pytest.approx(0.7)
    assert sd["auroc"] == pytest.approx(math.sqrt(0.02))
    assert (mean["f1"], sd["f1"]) == (None, None)
    assert over_folds([fold(0.6)])[1]["auroc"] is None
    assert set(mean["labels"]["a"]) == {"auroc", "auprc", "f1", "accuracy"}
