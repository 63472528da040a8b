"""Whether one head is better than another on the same patients: DeLong for AUROC, else a paired bootstrap.

NumPy alone, so that a service can compare heads.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import NothingToCompare
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Case, Target
from slicebank_models.training.intervals import LEVEL, drawings
from slicebank_models.training.metrics import label_truth, metric_names, number, weighted_task_metrics
from slicebank_models.training.units import Units, average_by_unit

JSON = dict[str, Any]
Values = NDArray[np.float64]

PARTS = {"pooled": "out_of_fold", "test": "test_predictions"}
_QUANTILE = 1.959963984540054  # of the normal distribution at 1 - (1 - LEVEL) / 2
_LEAST_UNITS = 2
_LEAST_RESAMPLES = 200
_MOST_WEIGHTS = 10_000_000


@dataclass(frozen=True, slots=True)
class DeLong:
    """Two correlated AUROCs (DeLong, DeLong, Clarke-Pearson, Biometrics 1988).

    Attributes:
        first: AUROC of the first score.
        second: Of the second.
        variance: Of `first - second`.
        z: The difference over its standard error; 0 where both scores rank alike, None where the variance is 0 and they differ.
        p_value: Two-sided.
        interval: Of the difference, at LEVEL.
    """

    first: float
    second: float
    variance: float
    z: float | None
    p_value: float | None
    interval: tuple[float, float]


def delong(truth: NDArray[np.bool_], first: Values, second: Values) -> DeLong:
    """Compares two scores of the same independent cases, with midranks (Sun and Xu, IEEE Signal Processing Letters 2014).

    Args:
        truth: (n,) with both answers in it.
        first: (n,) scores.
        second: (n,) scores.
    """
    parts = [_components(truth, score) for score in (first, second)]
    areas = [float(of_positives.mean()) for of_positives, _ in parts]
    positives = parts[0][0] - parts[1][0]
    negatives = parts[0][1] - parts[1][1]
    variance = _variance_of_mean(positives) + _variance_of_mean(negatives)
    difference = areas[0] - areas[1]
    error = math.sqrt(variance)
    if error > 0:
        z: float | None = difference / error
        p_value: float | None = math.erfc(abs(difference / error) / math.sqrt(2))
    else:
        z, p_value = (0.0, 1.0) if difference == 0 else (None, None)
    return DeLong(
        areas[0], areas[1], variance, z, p_value, (difference - _QUANTILE * error, difference + _QUANTILE * error)
    )


def _components(truth: NDArray[np.bool_], score: Values) -> tuple[Values, Values]:
    """Returns, for each positive, the share of negatives below it, and for each negative, the share of positives above it."""
    positives, negatives = score[truth], score[~truth]
    among_all = _midranks(np.concatenate([positives, negatives]))
    below = (among_all[: len(positives)] - _midranks(positives)) / len(negatives)
    above = 1 - (among_all[len(positives) :] - _midranks(negatives)) / len(positives)
    return below, above


def _midranks(values: Values) -> Values:
    """Returns ranks from 1; equal values share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Values = (last - (counts - 1) / 2)[group]
    return ranks


def _variance_of_mean(values: Values) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def compare_heads(
    first: Mapping[str, Any], second: Mapping[str, Any], *, part: str = "pooled", resamples: int = 2000, seed: int = 0
) -> JSON:
    """Compares two reports on what both measured.

    A unit counts where both reports have it, of the same patient and with the same answer. The difference of each metric has a paired
    bootstrap interval and p-value, patients drawn for both heads alike; AUROC of a label whose patients have one unit each has DeLong's.

    Args:
        first: Report of a head.
        second: Report of another head of the same task.
        part: `pooled` (out-of-fold predictions) or `test`.
        resamples: Of patients; at most ten million cases are drawn in all, but never fewer than 200 resamplings.
        seed: Of the resamplings.

    Returns:
        `part`, `n_units`, `n_patients`, `left_out` (units that only one of them has, `{"first", "second"}`), `metrics` and `labels`:
        per metric `{first, second, difference, interval, p_value, method}`, difference being first minus second.

    Raises:
        NothingToCompare: The tasks differ, or fewer than two units are common.
    """
    task = _task(first)
    if task != _task(second):
        raise NothingToCompare("The heads answer different questions; compare heads of one task with the same labels.")
    pair = [_units(task, report, part) for report in (first, second)]
    keys = [{(name, patient, target): at for at, (name, patient, target) in enumerate(_keys(units))} for units in pair]
    # In an order of its own, so that both ways round and any order of rows draw the same patients.
    common = sorted((key for key in keys[0] if key in keys[1]), key=lambda key: (key[1], key[0]))
    if len(common) < _LEAST_UNITS:
        raise NothingToCompare(
            f"The heads have {len(common)} measured cases in common ({part}); train both on the same labels and splits."
        )
    chosen = [_chosen(units, [place[key] for key in common]) for units, place in zip(pair, keys, strict=True)]
    # Of huge cohorts fewer resamplings, so that an answer takes seconds; their intervals are narrow.
    resamples = max(_LEAST_RESAMPLES, min(resamples, _MOST_WEIGHTS // len(common)))
    found = _bootstrap(task, chosen[0], chosen[1], resamples=resamples, seed=seed)
    if len(set(chosen[0].patients)) == len(chosen[0]):
        _put_delong(task, chosen[0], chosen[1], found)
    return {
        "part": part,
        "n_units": len(common),
        "n_patients": len(set(chosen[0].patients)),
        "left_out": {"first": len(pair[0]) - len(common), "second": len(pair[1]) - len(common)},
        **found,
    }


def _task(report: Mapping[str, Any]) -> TaskSpec:
    return TaskSpec.parse({key: report["task"][key] for key in ("kind", "labels")})


def _units(task: TaskSpec, report: Mapping[str, Any], part: str) -> Units:
    if part not in PARTS:
        raise NothingToCompare(f"part must be one of {', '.join(PARTS)}, not {part[:40]}.")
    rows: Sequence[Mapping[str, Any]] = report[PARTS[part]]
    cases = [Case(row["index"], row["patient"], tuple(row["target"]), unit=row.get("unit", "")) for row in rows]
    outputs = np.array([row["outputs"] if "outputs" in row else row["probabilities"] for row in rows], dtype=np.float64)
    return average_by_unit(cases, outputs.reshape(len(cases), task.n_outputs))


def _keys(units: Units) -> list[tuple[str, str, Target]]:
    return list(zip(units.names, units.patients, units.targets, strict=True))


def _chosen(units: Units, places: Sequence[int]) -> Units:
    return Units(
        tuple(units.names[at] for at in places),
        tuple(units.patients[at] for at in places),
        tuple(units.targets[at] for at in places),
        units.outputs[list(places)],
    )


def _bootstrap(task: TaskSpec, first: Units, second: Units, *, resamples: int, seed: int) -> JSON:
    once = np.ones((1, len(first)))
    found = [weighted_task_metrics(task, units.targets, units.outputs, once) for units in (first, second)]
    drawn = [
        tuple(weighted_task_metrics(task, units.targets, units.outputs, weights) for units in (first, second))
        for weights in drawings(first.patients, resamples=resamples, seed=seed)
    ]

    def compared(label: str | None, name: str) -> JSON:
        def of(values: Any) -> Values:
            metrics: Mapping[str, Values] = values.top if label is None else values.labels[label]
            return metrics[name]

        one, other = (float(of(values)[0]) for values in found)
        gaps = np.concatenate([of(a) - of(b) for a, b in drawn]) if drawn else np.zeros(0)
        return _from_gaps(one, other, gaps[np.isfinite(gaps)])

    return {
        "metrics": {name: compared(None, name) for name in metric_names(task.kind)},
        "labels": {label: {name: compared(label, name) for name in metric_names(task.kind)} for label in task.outputs},
    }


def _from_gaps(first: float, second: float, gaps: Values) -> JSON:
    values: JSON = {"first": number(first), "second": number(second), "difference": number(first - second)}
    if values["difference"] is None or not len(gaps):
        return {**values, "interval": None, "p_value": None, "method": None}
    low, high = np.quantile(gaps, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # How far the resamplings of the difference reach to the other side of 0, both sides alike; never quite 0.
    beyond = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    p_value = min(1.0, 2 * (beyond + 1) / (len(gaps) + 1))
    return {**values, "interval": [float(low), float(high)], "p_value": p_value, "method": "paired_bootstrap"}


def _put_delong(task: TaskSpec, first: Units, second: Units, found: JSON) -> None:
    """Puts DeLong's test in the place of the bootstrap for AUROC of each label, and at the top if there is one alone."""
    if task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        return
    for place, label in enumerate(task.outputs):
        known, truth = label_truth(task, first.targets, place)
        if not 0 < truth.sum() < len(truth):
            continue
        tested = delong(truth, first.outputs[known, place], second.outputs[known, place])
        if (
            tested.p_value is None
        ):  # no case tells how far the difference could have fallen otherwise: the bootstrap stays
            continue
        about = found["labels"][label]["auroc"]
        about |= {"interval": list(tested.interval), "p_value": tested.p_value, "method": "delong"}
        if len(task.outputs) == 1:
            found["metrics"]["auroc"] = dict(about)
