"""Curves for figures, thinned to what an eye can see: ROC, precision and recall, calibration, confusion, Kaplan-Meier."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.metrics import THRESHOLD, known_answers, label_truth
from slicebank_models.training.units import Units
from slicebank_models.training.weighted_metrics import ECE_BINS, bin_of

JSON = dict[str, Any]
Values = NDArray[np.float64]

MOST_POINTS = 200


def task_curves(task: TaskSpec, units: Units, calibrated: Units | None = None) -> JSON:
    """Returns the curves of one set of predictions.

    Classification: per label `roc`, `pr`, `calibration`, `confusion` and, where `calibrated` is given, `calibrated` (the calibration of
    those), each left out where it has no meaning; at the top `confusion`, of classes or of a binary task. Survival: at the top
    `kaplan_meier`. Regression has none: its figure is the predictions themselves.

    Args:
        task: A label named as one of the curves at the top gives way to it.
        units: What was predicted.
        calibrated: The same units with calibrated probabilities.
    """
    if task.kind is TaskKind.SURVIVAL:
        return {"kaplan_meier": _kaplan_meier(units)}
    if task.kind is TaskKind.REGRESSION:
        return {}
    found: JSON = {}
    for place, label in enumerate(task.outputs):
        known, truth = label_truth(task, units.targets, place)
        curves = _label_curves(truth, units.outputs[known, place])
        if calibrated is not None and len(truth):
            curves["calibrated"] = calibration_bins(truth, calibrated.outputs[known, place])
        if task.kind is not TaskKind.MULTICLASS:
            said = units.outputs[known, place] >= THRESHOLD
            curves["confusion"] = _confusion(["0", "1"], truth.astype(int), said.astype(int))
        found[label] = curves
    if task.kind is TaskKind.BINARY:
        found["confusion"] = found[task.outputs[0]]["confusion"]
    if task.kind is TaskKind.MULTICLASS:
        known, (classes,) = known_answers(units.targets, (0,))
        found["confusion"] = _confusion(task.outputs, classes.astype(int), units.outputs[known].argmax(axis=1))
    return found


def _label_curves(truth: NDArray[np.bool_], probability: Values) -> JSON:
    from sklearn.metrics import precision_recall_curve, roc_curve

    curves: JSON = {}
    if 0 < truth.sum() < len(truth):
        fpr, tpr, threshold = roc_curve(truth, probability)
        kept = thinned(fpr, tpr)
        curves["roc"] = {"fpr": _numbers(fpr[kept]), "tpr": _numbers(tpr[kept]), "threshold": _numbers(threshold[kept])}
    if truth.any():
        precision, recall, threshold = precision_recall_curve(truth, probability)
        kept = thinned(recall, precision)
        curves["pr"] = {
            "precision": _numbers(precision[kept]),
            "recall": _numbers(recall[kept]),
            "threshold": _numbers(np.append(threshold, np.inf)[kept]),
        }
    if len(truth):
        curves["calibration"] = calibration_bins(truth, probability)
    return curves


def calibration_bins(truth: NDArray[np.bool_], probability: Values) -> JSON:
    """Returns mean prediction, observed rate and number of cases of each bin of the ECE that has cases."""
    bins = bin_of(probability)
    counts = np.bincount(bins, minlength=ECE_BINS)
    used = counts > 0
    predicted = np.bincount(bins, weights=probability, minlength=ECE_BINS)[used] / counts[used]
    observed = np.bincount(bins, weights=truth, minlength=ECE_BINS)[used] / counts[used]
    return {"predicted": _numbers(predicted), "observed": _numbers(observed), "n": counts[used].tolist()}


def thinned(x: Values, y: Values) -> NDArray[np.int64]:
    """Returns at most MOST_POINTS places of a curve, ends among them, evenly spread over its length."""
    if len(x) <= MOST_POINTS:
        return np.arange(len(x))
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    places = np.searchsorted(length, np.linspace(0, length[-1], MOST_POINTS))
    places[0], places[-1] = 0, len(x) - 1
    return np.unique(places)


def _confusion(names: Sequence[str], truth: NDArray[np.int_], said: NDArray[np.int_]) -> JSON:
    """Returns counts with a row for each answer and a column for each prediction."""
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth, said), 1)
    return {"labels": list(names), "counts": counts.tolist()}


def _kaplan_meier(units: Units) -> JSON | None:
    """Returns survival of the half with the higher risk and of the other, and the p-value of the log-rank test between them.

    None where one half is empty: all risks are equal, or there are no cases.
    """
    from scipy.stats import CensoredData, logrank

    known, (time, event) = known_answers(units.targets, (0, 1))
    risk, happened = units.outputs[known, 0], event == 1
    cut = float(np.median(risk)) if len(risk) else 0.0
    halves = {"low risk": risk <= cut, "high risk": risk > cut}
    if not all(inside.any() for inside in halves.values()):
        return None
    samples = [
        CensoredData(uncensored=time[inside & happened], right=time[inside & ~happened]) for inside in halves.values()
    ]
    p_value = float("nan")
    if happened.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            p_value = float(logrank(*samples).pvalue)
    return {
        "cut": cut,
        "groups": {name: survival_curve(time[inside], happened[inside]) for name, inside in halves.items()},
        "log_rank_p": p_value if np.isfinite(p_value) else None,
    }


def survival_curve(time: Values, happened: NDArray[np.bool_]) -> JSON:
    """Returns the Kaplan-Meier estimate with its log-log 95 % interval, the number at risk, and censored times.

    Before the first of `time` survival is 1. An interval that is not defined, as where nobody is left, is the estimate itself.
    """
    from scipy.stats import CensoredData, ecdf

    survival = ecdf(CensoredData(uncensored=time[happened], right=time[~happened])).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tells of places without an interval
        low, high = (
            np.where(np.isfinite(end.probabilities), end.probabilities, survival.probabilities)
            for end in survival.confidence_interval(method="log-log")
        )
    times, share = survival.quantiles, survival.probabilities
    kept = thinned(times / max(float(times[-1]), np.finfo(np.float64).tiny), share)
    censored = np.sort(time[~happened])
    if len(censored) > MOST_POINTS:
        censored = censored[np.linspace(0, len(censored) - 1, MOST_POINTS).round().astype(int)]
    return {
        "time": _numbers(times[kept]),
        "survival": _numbers(share[kept]),
        "low": _numbers(low[kept]),
        "high": _numbers(high[kept]),
        "at_risk": [int((time >= at).sum()) for at in times[kept]],
        "censored": _numbers(censored),
        "n": len(time),
        "events": int(happened.sum()),
    }


def _numbers(values: Values) -> list[float | None]:
    """Returns numbers as JSON has them: the threshold above all scores is null."""
    return [float(value) if np.isfinite(value) else None for value in values]
