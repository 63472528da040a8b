import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.curves import MOST_POINTS, survival_curve, task_curves, thinned
from slicebank_models.training.report import probabilities
from slicebank_models.training.units import Units
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_logits, drawn_targets

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs to mend
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test


def units(kind: TaskKind, n: int, seed: int = 0) -> Units:
    generator = np.random.default_rng(seed)
    targets = drawn_targets(kind, generator, n)
    outputs = probabilities(TASKS[kind], drawn_logits(kind, targets, generator, 0.5))
    names = tuple(str(at) for at in range(n))
    return Units(names, names, tuple(targets), outputs)


@pytest.mark.parametrize("n", [60, 5000])
def test_thinned_curves_keep_their_area(n: int) -> None:
    of = units(TaskKind.BINARY, n)
    truth, score = np.array([t[0] for t in of.targets]), of.outputs[:, 0]
    found = task_curves(TASKS[TaskKind.BINARY], of)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    roc, pr = found["lesion"]["roc"], found["lesion"]["pr"]
    for curve in (roc, pr):
        assert len({len(values) for values in curve.values()}) == 1
        assert len(next(iter(curve.values()))) <= MOST_POINTS
    assert (roc["fpr"][0], roc["tpr"][0], roc["threshold"][0]) == (0, 0, None)
    assert (roc["fpr"][-1], roc["tpr"][-1]) == (1, 1)
    assert sk.auc(roc["fpr"], roc["tpr"]) == pytest.approx(sk.roc_auc_score(truth, score), abs=2e-3)
    area = sk.auc(pr["recall"], pr["precision"])
    assert area == pytest.approx(sk.average_precision_score(truth, score), abs=1e-2 if n == 60 else 3e-3)
    assert pr["threshold"][-1] is None
    # A point of the curve is what its threshold gives.
    at = len(roc["threshold"]) // 2
    assert roc["tpr"][at] == pytest.approx(np.mean(score[truth == 1] >= roc["threshold"][at]))


def test_thinning_keeps_ends_and_steep_parts() -> None:
    x = np.concatenate([np.zeros(1000), np.linspace(0, 1, 10)])
    y = np.concatenate([np.linspace(0, 1, 1000), np.ones(10)])
    kept = thinned(x, y)
    assert (kept[0], kept[-1]) == (0, 1009)
    assert len(kept) <= MOST_POINTS
    assert np.diff(y[kept]).max() < 0.02
    assert (thinned(x[:5], y[:5]) == np.arange(5)).all()


def test_calibration_and_confusion_count_every_case() -> None:
    of = units(TaskKind.BINARY, 200)
    truth, score = np.array([t[0] for t in of.targets]), of.outputs[:, 0]
    calibrated = Units(of.names, of.patients, of.targets, np.full((200, 1), 0.4))
    found = task_curves(TASKS[TaskKind.BINARY], of, calibrated)
    bins = found["lesion"]["calibration"]
    assert sum(bins["n"]) == 200
    assert np.dot(bins["predicted"], bins["n"]) == pytest.approx(score.sum())
    assert np.dot(bins["observed"], bins["n"]) == pytest.approx(truth.sum())
    assert found["lesion"]["calibrated"] == {
        "predicted": pytest.approx([0.4]),
        "observed": pytest.approx([truth.mean()]),
        "n": [200],
    }
    assert found["confusion"] == {
        "labels": ["0", "1"],
        "counts": sk.confusion_matrix(truth, (score >= 0.5).astype(int)).tolist(),
    }
    classes = units(TaskKind.MULTICLASS, 200)
    answers = np.array([t[0] for t in classes.targets])
    found = task_curves(TASKS[TaskKind.MULTICLASS], classes)
    assert found["confusion"]["labels"] == ["I", "II", "III"]
    assert found["confusion"]["counts"] == sk.confusion_matrix(answers, classes.outputs.argmax(axis=1)).tolist()


def test_curves_without_a_meaning_are_left_out() -> None:
    task = TaskSpec(TaskKind.MULTILABEL, ("all", "none", "unknown"))
    of = Units(("0", "1"), ("0", "1"), ((1, 0, None), (1, 0, None)), np.full((2, 3), 0.6))
    found = task_curves(task, of)
    assert set(found["all"]) == {"pr", "calibration", "confusion"}
    assert set(found["none"]) == {"calibration", "confusion"}
    assert set(found["unknown"]) == {"confusion"}


def test_kaplan_meier_and_log_rank_are_those_of_lifelines() -> None:
    of = units(TaskKind.SURVIVAL, 150)
    time, event = np.array(of.targets, dtype=float).T
    time = np.ceil(time)  # ties
    of = Units(of.names, of.patients, tuple((float(t), int(e)) for t, e in zip(time, event, strict=True)), of.outputs)
    found = task_curves(TASKS[TaskKind.SURVIVAL], of)["kaplan_meier"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    high = of.outputs[:, 0] > np.median(of.outputs[:, 0])
    assert found["cut"] == np.median(of.outputs[:, 0])
    for name, inside in (("low risk", ~high), ("high risk", high)):
        group = found["groups"][name]
        fitter = KaplanMeierFitter().fit(time[inside], event[inside])
        expected = fitter.survival_function_at_times(group["time"]).to_numpy()
        assert group["survival"] == pytest.approx(expected, abs=1e-9)
        ends = fitter.confidence_interval_survival_function_.loc[group["time"]].to_numpy()
        inner = (expected > 0) & (expected < 1)
        assert np.array(group["low"])[inner] == pytest.approx(ends[inner, 0], abs=1e-6)
        assert np.array(group["high"])[inner] == pytest.approx(ends[inner, 1], abs=1e-6)
        assert group["at_risk"] == [int((time[inside] >= at).sum()) for at in group["time"]]
        assert (group["n"], group["events"]) == (inside.sum(), event[inside].sum())
        assert sorted(group["censored"]) == sorted(time[inside & (event == 0)])
    tested = logrank_test(time[~high], time[high], event[~high], event[high])
    assert found["log_rank_p"] == pytest.approx(tested.p_value, rel=1e-6)
    assert found["log_rank_p"] < 0.01
    early = {
        name: dict(zip(group["time"], group["survival"], strict=True))[3.0] for name, group in found["groups"].items()
    }
    assert early["high risk"] < early["low risk"]


def test_survival_without_events_or_risks_is_not_drawn_from_nothing() -> None:
    names = tuple("abcd")
    censored = Units(names, names, ((1.0, 0), (2.0, 0), (3.0, 0), (4.0, 0)), np.arange(4.0)[:, None])
    found = task_curves(TASKS[TaskKind.SURVIVAL], censored)["kaplan_meier"]
    assert found["log_rank_p"] is None
    assert found["groups"]["low risk"]["survival"] == [1.0, 1.0]
    alike = Units(names, names, censored.targets, np.zeros((4, 1)))
    assert task_curves(TASKS[TaskKind.SURVIVAL], alike)["kaplan_meier"] is None
    long = survival_curve(np.arange(1.0, 2001.0), np.arange(2000) % 2 == 0)
    assert max(len(values) for values in long.values() if isinstance(values, list)) <= MOST_POINTS
    assert task_curves(TASKS[TaskKind.REGRESSION], units(TaskKind.REGRESSION, 10)) == {}
