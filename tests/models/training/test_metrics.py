import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.metrics import label_metrics, over_folds, task_metrics


def pairs_won(truth: np.ndarray, probability: np.ndarray) -> float:
    """AUROC by definition: how often a positive lies above a negative, ties half."""
    wins = [float(p > n) + 0.5 * float(p == n) for p in probability[truth] for n in probability[~truth]]
    return math.fsum(wins) / len(wins)


def average_precision(truth: np.ndarray, probability: np.ndarray) -> float:
    """AUPRC by definition: precision at each distinct threshold, weighted by the recall it adds."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(probability), reverse=True):
        said = probability >= threshold
        recall = truth[said].sum() / truth.sum()
        total += (recall - before) * truth[said].mean()
        before = recall
    return float(total)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.7, 1.0])), min_size=2, max_size=25))
def test_metrics_are_their_definitions(pairs: list[tuple[bool, float]]) -> None:
    truth, probability = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    said = probability >= 0.5
    found = label_metrics(truth, probability, said)
    positives = int(truth.sum())
    assert (found["n"], found["positives"]) == (len(pairs), positives)
    both = 0 < positives < len(pairs)
    assert found["auroc"] == (pytest.approx(pairs_won(truth, probability)) if both else None)
    assert found["auprc"] == (pytest.approx(average_precision(truth, probability)) if positives else None)
    doubled, wrong = 2 * int((truth & said).sum()), int((truth ^ said).sum())
    assert found["f1"] == (pytest.approx(doubled / (doubled + wrong)) if doubled + wrong else None)
    assert found["accuracy"] == pytest.approx(float((truth == said).mean()))


def test_unknown_answers_do_not_count() -> None:
    task = TaskSpec(TaskKind.MULTILABEL, ("a", "b"))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = task_metrics(task, [(1, None), (0, None), (None, None)], probabilities)
    assert (found["labels"]["a"]["n"], found["labels"]["a"]["auroc"]) == (2, 1.0)
    assert found["labels"]["b"] == {"n": 0, "positives": 0, "auroc": None, "auprc": None, "f1": None, "accuracy": None}
    assert found["auroc"] == 1.0


def test_classes_are_measured_one_against_the_rest() -> None:
    task = TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III"))
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3]])
    found = task_metrics(task, [(0,), (1,), (2,), (1,)], probabilities)
    assert found["accuracy"] == 0.75
    assert found["labels"]["II"]["auroc"] == 1.0
    assert found["labels"]["II"]["f1"] == pytest.approx(2 / 3)
    assert found["labels"]["I"]["accuracy"] == 0.75


def test_means_and_deviations_skip_what_is_not_defined() -> None:
    def fold(auroc: float | None) -> dict[str, object]:
        values = {"auroc": auroc, "auprc": 0.5, "f1": None, "accuracy": 1.0}
        return {**values, "labels": {"a": values}}

    mean, sd = over_folds([fold(0.6), fold(None), fold(0.8)])
    assert mean["auroc"] == mean["labels"]["a"]["auroc"] == pytest.approx(0.7)
    assert sd["auroc"] == pytest.approx(math.sqrt(0.02))
    assert (mean["f1"], sd["f1"]) == (None, None)
    assert over_folds([fold(0.6)])[1]["auroc"] is None
