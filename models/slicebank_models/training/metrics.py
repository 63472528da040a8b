"""AUROC, AUPRC, F1 and accuracy per label, on probabilities; a metric without a meaning is null, never invented."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Target

JSON = dict[str, Any]

METRICS = ("auroc", "auprc", "f1", "accuracy")
THRESHOLD = 0.5


def label_metrics(truth: NDArray[np.bool_], probability: NDArray[np.float64], said: NDArray[np.bool_]) -> JSON:
    """Returns the metrics of one label.

    Args:
        truth: (n,) whether the label holds.
        probability: (n,) its probability.
        said: (n,) whether it is predicted (at 0.5, or as the most probable class).

    Returns:
        `n`, `positives` and METRICS. AUROC needs both answers; AUPRC a positive; F1 a positive or a positive
        prediction; accuracy a case. Otherwise they are None.
    """
    positives = int(truth.sum())
    both = 0 < positives < len(truth)
    return {
        "n": len(truth),
        "positives": positives,
        "auroc": float(roc_auc_score(truth, probability)) if both else None,
        "auprc": float(average_precision_score(truth, probability)) if positives else None,
        "f1": float(f1_score(truth, said)) if positives or bool(said.any()) else None,
        "accuracy": float(accuracy_score(truth, said)) if len(truth) else None,
    }


def task_metrics(task: TaskSpec, targets: Sequence[Target], probabilities: NDArray[np.float64]) -> JSON:
    """Returns METRICS averaged over labels at the top, and per label under `labels`.

    Args:
        task: Multiclass labels are measured one against the rest; its accuracy at the top is that of the classes.
        targets: One a case.
        probabilities: (cases, outputs).
    """
    multiclass = task.kind is TaskKind.MULTICLASS
    labels: dict[str, JSON] = {}
    chosen = probabilities.argmax(axis=1) if len(probabilities) else np.empty(0, dtype=np.int64)
    for place, label in enumerate(task.labels):
        answers = [target[0] if multiclass else target[place] for target in targets]
        known = np.array([answer is not None for answer in answers], dtype=bool)
        positive = place if multiclass else 1
        truth = np.array([answer == positive for answer in answers], dtype=bool)[known]
        probability = probabilities[known, place]
        said = (chosen[known] == place) if multiclass else probability >= THRESHOLD
        labels[label] = label_metrics(truth, probability, said)
    top: JSON = {name: _mean([values[name] for values in labels.values()]) for name in METRICS}
    if multiclass:
        right = [int(chosen[at]) == target[0] for at, target in enumerate(targets) if target[0] is not None]
        top["accuracy"] = _mean([float(value) for value in right])
    return {**top, "labels": labels}


def over_folds(folds: Sequence[Mapping[str, Any]]) -> tuple[JSON, JSON]:
    """Returns mean and sample standard deviation over the folds where a metric is defined, shaped like `task_metrics`.

    The deviation of fewer than two folds is None.
    """
    means: JSON = {name: _mean([fold[name] for fold in folds]) for name in METRICS}
    spreads: JSON = {name: _spread([fold[name] for fold in folds]) for name in METRICS}
    labels = list(folds[0]["labels"]) if folds else []
    for summary, measure in ((means, _mean), (spreads, _spread)):
        summary["labels"] = {
            label: {name: measure([fold["labels"][label][name] for fold in folds]) for name in METRICS}
            for label in labels
        }
    return means, spreads


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def _spread(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else None
