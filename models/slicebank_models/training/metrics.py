"""Metrics of every kind of task; a metric without a meaning is null, never invented."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Target
from slicebank_models.training import weighted_metrics as weighted

JSON = dict[str, Any]
Values = NDArray[np.float64]

CLASSIFICATION = ("auroc", "auprc", "f1", "accuracy", "sensitivity_at_90_specificity", "brier", "ece")
REGRESSION = ("mae", "rmse", "r2")
SURVIVAL = ("c_index",)
THRESHOLD = 0.5

# Metrics that are better when smaller, for whoever marks the best of several.
SMALLER_IS_BETTER = frozenset({"brier", "ece", "mae", "rmse"})


def metric_names(kind: TaskKind) -> tuple[str, ...]:
    """Returns the metrics of a kind of task."""
    return {TaskKind.REGRESSION: REGRESSION, TaskKind.SURVIVAL: SURVIVAL}.get(kind, CLASSIFICATION)


def task_metrics(task: TaskSpec, targets: Sequence[Target], outputs: Values) -> JSON:
    """Returns the metrics averaged over labels at the top, and per label with `n` under `labels`.

    Per label of a classification also `positives`, of survival `events`. AUROC and sensitivity need both answers; AUPRC a positive;
    F1 a positive or a positive prediction; R2 two different truths; the C-index two cases whose order is known. Otherwise they are
    None.

    Args:
        task: Multiclass labels are measured one against the rest; its accuracy at the top is that of the classes.
        targets: One a case.
        outputs: (cases, outputs) probabilities, values or risks.
    """
    once = np.ones((1, len(targets)))
    values = weighted_task_metrics(task, targets, outputs, once)
    counts = _counts(task, targets)
    labels = {
        label: {**counts[label], **{name: number(value[0]) for name, value in metrics.items()}}
        for label, metrics in values.labels.items()
    }
    return {**{name: number(value[0]) for name, value in values.top.items()}, "labels": labels}


class WeightedMetrics:
    """Metrics under R weightings: `top` by name, `labels` by label and name, (R,) each, NaN where without a meaning."""

    def __init__(self, top: dict[str, Values], labels: dict[str, dict[str, Values]]) -> None:
        self.top = top
        self.labels = labels


def weighted_task_metrics(
    task: TaskSpec, targets: Sequence[Target], outputs: Values, weights: Values
) -> WeightedMetrics:
    """Returns the metrics of `task_metrics` under (R, cases) weights."""
    labels = dict(_label_metrics(task, targets, outputs, weights))
    top = {name: _mean_over([metrics[name] for metrics in labels.values()]) for name in metric_names(task.kind)}
    if task.kind is TaskKind.MULTICLASS:
        known = np.array([target[0] is not None for target in targets], dtype=bool)
        right = np.array(
            [int(row.argmax()) == target[0] for row, target in zip(outputs, targets, strict=True)], dtype=bool
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            top["accuracy"] = weights[:, known] @ right[known] / weights[:, known].sum(axis=1)
    return WeightedMetrics(top, labels)


def _label_metrics(
    task: TaskSpec, targets: Sequence[Target], outputs: Values, weights: Values
) -> list[tuple[str, dict[str, Values]]]:
    if task.kind is TaskKind.SURVIVAL:
        known, (time, event) = known_answers(targets, (0, 1))
        risk = weighted.concordance(time, event == 1, outputs[known, 0], weights[:, known])
        return [(task.outputs[0], {"c_index": risk})]
    found = []
    for place, label in enumerate(task.outputs):
        if task.kind is TaskKind.REGRESSION:
            known, (truth,) = known_answers(targets, (place,))
            found.append((label, weighted.numeric(truth, outputs[known, place], weights[:, known])))
            continue
        known, truth_of_label = label_truth(task, targets, place)
        probability, drawn = outputs[known, place], weights[:, known]
        classes = task.kind is TaskKind.MULTICLASS
        said = outputs[known].argmax(axis=1) == place if classes else probability >= THRESHOLD
        metrics = {
            **weighted.ranking(truth_of_label, probability, drawn),
            **weighted.deciding(truth_of_label, said, drawn),
            **weighted.probabilistic(truth_of_label, probability, drawn),
        }
        found.append((label, {name: metrics[name] for name in CLASSIFICATION}))
    return found


def known_answers(targets: Sequence[Target], places: tuple[int, ...]) -> tuple[NDArray[np.bool_], list[Values]]:
    """Returns (n,) where all places of the target are known, and the known values of each place."""
    columns = [
        np.array([math.nan if target[place] is None else target[place] for target in targets], dtype=np.float64)
        for place in places
    ]
    known = ~np.any([np.isnan(column) for column in columns], axis=0) if targets else np.zeros(0, dtype=bool)
    return known, [column[known] for column in columns]


def label_truth(task: TaskSpec, targets: Sequence[Target], place: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns (n,) where a label's answer is known, and for those whether it holds; a class is one against the rest."""
    multiclass = task.kind is TaskKind.MULTICLASS
    known, (answers,) = known_answers(targets, (0 if multiclass else place,))
    return known, answers == (place if multiclass else 1)


def _counts(task: TaskSpec, targets: Sequence[Target]) -> dict[str, JSON]:
    counts: dict[str, JSON] = {}
    for place, label in enumerate(task.outputs):
        if task.kind is TaskKind.SURVIVAL:
            known, (_, event) = known_answers(targets, (0, 1))
            counts[label] = {"n": int(known.sum()), "events": int((event == 1).sum())}
        elif task.kind is TaskKind.REGRESSION:
            counts[label] = {"n": int(known_answers(targets, (place,))[0].sum())}
        else:
            known, truth = label_truth(task, targets, place)
            counts[label] = {"n": int(known.sum()), "positives": int(truth.sum())}
    return counts


def over_folds(folds: Sequence[Mapping[str, Any]]) -> tuple[JSON, JSON]:
    """Returns mean and sample standard deviation over the folds where a metric is defined, shaped like `task_metrics`.

    The deviation of fewer than two folds is None.
    """
    if not folds:
        return {"labels": {}}, {"labels": {}}
    labels: Mapping[str, Mapping[str, Any]] = folds[0]["labels"]
    names = [name for name in next(iter(labels.values())) if name not in ("n", "positives", "events")]

    def summary(measure: Callable[[Sequence[float | None]], float | None]) -> JSON:
        return {
            **{name: measure([fold[name] for fold in folds]) for name in names},
            "labels": {
                label: {name: measure([fold["labels"][label][name] for fold in folds]) for name in names}
                for label in labels
            },
        }

    return summary(_mean), summary(_spread)


def number(value: float) -> float | None:
    """Returns a metric as JSON has it: None where it has no meaning."""
    return float(value) if math.isfinite(value) else None


def _mean_over(values: Sequence[Values]) -> Values:
    """Returns (R,) means over the labels that are defined."""
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Values = np.where(defined, stacked, 0.0).sum(axis=0) / defined.sum(axis=0)
    return means


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def _spread(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else None
