"""Fits what turns a head's probabilities into rates, on predictions of folds that did not learn from the case."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.calibration import calibrated_logits, log_probabilities
from slicebank_models.heads.protocol import Calibration
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.cross_validation import Splits
from slicebank_models.training.metrics import label_truth, task_metrics
from slicebank_models.training.units import average_by_unit, unit_of

JSON = dict[str, Any]
Values = NDArray[np.float64]

# Patients of either answer below which a fit follows chance: one or two numbers, or (isotonic) a curve.
LEAST_PATIENTS = {Calibration.TEMPERATURE: 10, Calibration.PLATT: 10, Calibration.ISOTONIC: 100}
TEMPERATURES = (0.05, 20.0)  # the upper end means that there is nothing to fit

_IDENTITY: dict[Calibration, JSON] = {
    Calibration.TEMPERATURE: {"temperature": 1.0},
    Calibration.PLATT: {"slope": 1.0, "intercept": 0.0},
    Calibration.ISOTONIC: {"probability": [0.0, 1.0], "rate": [0.0, 1.0]},
}


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """What was fitted and how honest it is.

    Attributes:
        served: What the ensemble applies to each fold, `{"method", "parameters"}`; None where nothing was fitted.
        record: What the report says: `method`, `fitted_on` (units and patients), `parameters`, and `before` and `after` with
            `brier` and `ece` of out-of-fold predictions, `after` by parameters fitted on the other folds.
        out_of_fold: Per fold (cases, outputs) calibrated probabilities, by parameters fitted without the fold's patients.
        warnings: What could not be fitted.
    """

    served: JSON | None
    record: JSON
    out_of_fold: tuple[Values, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Predictions:
    """Out-of-fold logits to fit on: (n, outputs), their cases, and the weight of each so that a unit counts once."""

    task: TaskSpec
    cases: tuple[Case, ...]
    logits: Values
    weights: Values


def fit_calibration(
    cases: Sequence[Case], task: TaskSpec, method: Calibration, splits: Splits, logits: Sequence[Values]
) -> FittedCalibration:
    """Fits a calibration on all out-of-fold predictions, and judges it by cross-fitting.

    Args:
        cases: All of them.
        task: Regression and survival have nothing to calibrate.
        method: How.
        splits: Whose validation parts the predictions are of.
        logits: Per fold (cases of its validation part, outputs), of the fold's head alone, uncalibrated.
    """
    if task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        return FittedCalibration(None, {"method": Calibration.NONE.value}, tuple(logits), ())
    raw = tuple(np.exp(log_probabilities(task, rows)[0]) for rows in logits)
    measured = [cases[at] for fold in splits.folds for at in fold.validation]
    everything = _predictions(task, measured, np.concatenate(logits))
    units = average_by_unit(measured, np.concatenate(raw))
    before = task_metrics(task, units.targets, units.outputs)
    record: JSON = {
        "method": Calibration.NONE.value,
        "fitted_on": {"predictions": "out_of_fold", "n_units": len(units), "n_patients": len(set(units.patients))},
        "before": {name: before[name] for name in ("brier", "ece")},
        "after": None,
        "parameters": None,
    }
    if method is Calibration.NONE:
        return FittedCalibration(None, record, raw, ())
    parameters, warnings = _fit(everything, method, careful=True)
    if parameters is None:
        return FittedCalibration(None, record, raw, tuple(warnings))
    held_out = []
    for number, (fold, rows) in enumerate(zip(splits.folds, logits, strict=True)):
        others = _without(cases, splits, logits, number)
        found, _ = _fit(_predictions(task, *others), method, careful=False) if others is not None else (None, [])
        calibration = {"method": method.value, "parameters": found}
        shown = rows if found is None else calibrated_logits(task, calibration, rows)
        held_out.append(np.exp(log_probabilities(task, shown)[0]))
        assert len(held_out[-1]) == len(fold.validation)  # noqa: S101 - a slip of the caller, not of data
    cross_fitted = average_by_unit(measured, np.concatenate(held_out))
    after = task_metrics(task, cross_fitted.targets, cross_fitted.outputs)
    record |= {
        "method": method.value,
        "after": {name: after[name] for name in ("brier", "ece")},
        "parameters": parameters,
    }
    if after["brier"] is not None and after["brier"] > before["brier"]:
        warnings.append(
            f"Calibration did not help: the Brier score of out-of-fold predictions is {before['brier']:.3f} before and "
            f"{after['brier']:.3f} after it (fitted on the other folds). Set protocol.calibration to none, or add cases."
        )
    return FittedCalibration(
        {"method": method.value, "parameters": parameters}, record, tuple(held_out), tuple(warnings)
    )


def _without(
    cases: Sequence[Case], splits: Splits, logits: Sequence[Values], number: int
) -> tuple[list[Case], Values] | None:
    """Returns the predictions of the fold's own repeat that are of none of its patients."""
    fold = splits.folds[number]
    patients = {cases[at].patient for at in fold.validation}
    kept: list[Case] = []
    rows = []
    for other, found in zip(splits.folds, logits, strict=True):
        if other.repeat == fold.repeat:
            for at, row in zip(other.validation, found, strict=True):
                if cases[at].patient not in patients:
                    kept.append(cases[at])
                    rows.append(row)
    return (kept, np.stack(rows)) if kept else None


def _predictions(task: TaskSpec, cases: Sequence[Case], logits: Values) -> _Predictions:
    names = [(case.patient, unit_of(case)) for case in cases]
    counts: dict[tuple[str, str], int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return _Predictions(task, tuple(cases), logits, np.array([1 / counts[name] for name in names]))


def _fit(known: _Predictions, method: Calibration, *, careful: bool) -> tuple[JSON | None, list[str]]:
    """Returns parameters as `heads/calibration.py` reads them, or None where there are none; with warnings if careful."""
    if known.task.kind is TaskKind.MULTICLASS and method is Calibration.TEMPERATURE:
        return _fit_classes(known, careful=careful)
    least = LEAST_PATIENTS[method] if careful else 1
    log_p, log_q = log_probabilities(known.task, known.logits)
    parameters: dict[str, JSON] = {}
    fitted = 0
    warnings = []
    for place, label in enumerate(known.task.outputs):
        rows, truth = label_truth(known.task, [case.target for case in known.cases], place)
        patients = [case.patient for case, answered in zip(known.cases, rows, strict=True) if answered]
        rarer = min(len({p for p, t in zip(patients, truth, strict=True) if bool(t) is side}) for side in (True, False))
        odds, weights = (log_p - log_q)[rows, place], known.weights[rows]
        found = _FITS[method](odds, truth, weights) if rarer >= least else None
        if rarer < least:
            warnings.append(
                f"{label}: {rarer} patients have its rarer answer, too few to fit a calibration ({method.value} needs {least}); "
                "its probabilities stay as they are."
            )
        elif found is None:
            warnings.append(f"{label}: {_UNINFORMATIVE}")
        elif method is Calibration.TEMPERATURE and _all_right(odds, truth):
            warnings.append(f"{label}: {_WITHOUT_ERROR}")
        fitted += found is not None
        parameters[label] = _IDENTITY[method] if found is None else found
    return (parameters if fitted else None), warnings


_UNINFORMATIVE = (
    "out-of-fold predictions do not rise with the rate of the answer, so no calibration was fitted; "
    "its probabilities stay as they are."
)


_WITHOUT_ERROR = (
    "every out-of-fold prediction is on the right side, which no temperature fits best; it was fitted as if one case more had "
    "either answer (Platt 1999), so that probabilities are no more certain than the number of cases allows."
)


def _all_right(odds: Values, truth: NDArray[np.bool_]) -> bool:
    """Whether log-odds are above 0 for all cases that have the answer, and below 0 for all others."""
    return bool(((odds > 0) == truth).all() and (odds != 0).all())


def _aims(truth: NDArray[np.bool_], weights: Values) -> Values:
    """Returns (n + 1) / (n + 2) and 1 / (n + 2) instead of 1 and 0 (Platt 1999, section 2.2)."""
    positives, negatives = float(weights[truth].sum()), float(weights[~truth].sum())
    return np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _fit_classes(known: _Predictions, *, careful: bool) -> tuple[JSON | None, list[str]]:
    answered = np.array([case.target[0] is not None for case in known.cases], dtype=bool)
    classes = np.array([case.target[0] for case in known.cases if case.target[0] is not None], dtype=np.int64)
    patients = {case.patient for case, kept in zip(known.cases, answered, strict=True) if kept}
    least = LEAST_PATIENTS[Calibration.TEMPERATURE] * 2 if careful else 1
    if len(patients) < least or len(set(classes.tolist())) < 2:
        return None, [
            f"{len(patients)} patients are too few to fit a calibration (temperature needs {least} of classes)."
        ]
    logits, weights = known.logits[answered], known.weights[answered]
    aim = np.eye(logits.shape[1])[classes]
    all_right = bool((logits.argmax(axis=1) == classes).all())
    if all_right:
        counts = weights @ aim
        aim = (aim * counts[classes, None] + 1) / (counts[classes, None] + logits.shape[1])

    def loss(log_temperature: float) -> tuple[float, float]:
        scaled = logits * np.exp(-log_temperature)
        log_p = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        expected = (np.exp(log_p) * scaled).sum(axis=1)
        slope = (aim * scaled).sum(axis=1) - expected  # d loss / d log temperature
        return float(-weights @ (aim * log_p).sum(axis=1)), float(weights @ slope)

    temperature = _temperature(loss)
    if temperature is None:
        return None, [f"Classes: {_UNINFORMATIVE}"]
    return {"temperature": temperature}, [f"Classes: {_WITHOUT_ERROR}"] if all_right else []


def _temperature_of(odds: Values, truth: NDArray[np.bool_], weights: Values) -> JSON | None:
    aim = _aims(truth, weights) if _all_right(odds, truth) else truth.astype(np.float64)

    def loss(log_temperature: float) -> tuple[float, float]:
        scaled = odds * np.exp(-log_temperature)
        return float(weights @ (np.logaddexp(0, scaled) - aim * scaled)), float(
            weights @ ((aim - 1 / (1 + np.exp(-scaled))) * scaled)
        )

    temperature = _temperature(loss)
    return None if temperature is None else {"temperature": temperature}


def _temperature(loss: Callable[[float], tuple[float, float]]) -> float | None:
    """Returns the temperature of the least loss, no lower than TEMPERATURES[0]; None where it is beyond TEMPERATURES[1]."""
    from scipy.optimize import minimize

    low, high = (float(np.log(end)) for end in TEMPERATURES)
    found = minimize(lambda x: loss(float(x[0])), x0=[0.0], jac=True, method="L-BFGS-B", bounds=[(low, high)])
    at = float(found.x[0])
    return float(np.exp(at)) if at < high - 1e-6 else None


def _platt(odds: Values, truth: NDArray[np.bool_], weights: Values) -> JSON | None:
    """Fits Platt's line on log-odds, towards `_aims`."""
    from scipy.optimize import minimize

    aim = _aims(truth, weights)

    def loss(line: Values) -> tuple[float, Values]:
        scaled = line[0] * odds + line[1]
        gap = weights * (1 / (1 + np.exp(-scaled)) - aim)
        return float(weights @ (np.logaddexp(0, scaled) - aim * scaled)), np.array([gap @ odds, gap.sum()])

    start = np.array([1.0, 0.0])
    slope, intercept = minimize(loss, x0=start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14}).x
    return {"slope": float(slope), "intercept": float(intercept)} if slope > 0 else None


def _isotonic(odds: Values, truth: NDArray[np.bool_], weights: Values) -> JSON | None:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(np.exp(-np.logaddexp(0, -odds)), truth.astype(np.float64), sample_weight=weights)
    if fitted.y_thresholds_[0] == fitted.y_thresholds_[-1]:
        return None
    return {
        "probability": [float(value) for value in fitted.X_thresholds_],
        "rate": [float(value) for value in fitted.y_thresholds_],
    }


_FITS: dict[Calibration, Callable[[Values, NDArray[np.bool_], Values], JSON | None]] = {
    Calibration.TEMPERATURE: _temperature_of,
    Calibration.PLATT: _platt,
    Calibration.ISOTONIC: _isotonic,
}
