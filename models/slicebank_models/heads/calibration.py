"""From the log-odds that a head learned to rates: what `training/calibration.py` fitted, applied. No torch here."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import HeadError
from slicebank_models.heads.protocol import Calibration
from slicebank_models.heads.spec import TaskKind, TaskSpec

JSON = dict[str, Any]
Logits = NDArray[np.float64]

# Isotonic knots reach 0 and 1, which no finite number of cases can show.
LEAST = 1e-6


def log_probabilities(task: TaskSpec, logits: Logits) -> tuple[Logits, Logits]:
    """Returns the logarithms of the probability of each output and of its opposite, (..., n_outputs) each.

    Args:
        task: Binary, multilabel (each output by itself) or multiclass (softmax over outputs).
        logits: (..., n_outputs).
    """
    if task.kind is not TaskKind.MULTICLASS:
        return -np.logaddexp(0.0, -logits), -np.logaddexp(0.0, logits)
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        # log1p loses nothing but where p rounds to 1; there the others' sum is what is left.
        return log_p, np.log(np.maximum(-np.expm1(log_p), np.finfo(np.float64).tiny))


def calibrated_logits(task: TaskSpec, calibration: Mapping[str, Any], logits: Logits) -> Logits:
    """Returns logits whose probabilities are the calibrated ones.

    Args:
        task: With its outputs' names.
        calibration: `{"method": ..., "parameters": ...}`. Parameters are, of a multiclass task under temperature, one
            `{"temperature": t}`; otherwise one object an output: `{"temperature": t}` divides its log-odds,
            `{"slope": a, "intercept": b}` (Platt) makes them `a x + b`, `{"probability": [...], "rate": [...]}`
            (isotonic) interpolates between knots. Classes that are calibrated one by one are normed to sum to 1.
        logits: (..., n_outputs) of single folds, as the calibration was fitted on.

    Raises:
        HeadError: An unknown method, or parameters that do not fit the task.
    """
    try:
        method = Calibration(calibration["method"])
        parameters: Any = calibration.get("parameters") or {}
        if method is Calibration.NONE:
            return logits
        if method is Calibration.TEMPERATURE and task.kind is TaskKind.MULTICLASS:
            return logits / _positive(parameters["temperature"])
        log_p, log_q = log_probabilities(task, logits)
        odds = log_p - log_q
        columns = [_calibrated(method, parameters[label], odds[..., place]) for place, label in enumerate(task.outputs)]
    except (KeyError, TypeError, ValueError) as error:
        raise HeadError(f"The head's calibration cannot be read: {error!r}") from error
    found = np.stack(columns, axis=-1)
    # Of classes the logits are logarithms of rates, which the softmax norms.
    return -np.logaddexp(0.0, -found) if task.kind is TaskKind.MULTICLASS else found


def _calibrated(method: Calibration, parameters: Mapping[str, Any], odds: Logits) -> Logits:
    if method is Calibration.TEMPERATURE:
        return odds / _positive(parameters["temperature"])
    if method is Calibration.PLATT:
        return float(parameters["slope"]) * odds + float(parameters["intercept"])
    probability = np.exp(-np.logaddexp(0.0, -odds))
    rate = np.interp(probability, np.asarray(parameters["probability"], float), np.asarray(parameters["rate"], float))
    rate = np.clip(rate, LEAST, 1 - LEAST)
    rated: Logits = np.log(rate) - np.log1p(-rate)
    return rated


def _positive(temperature: object) -> float:
    value = float(temperature)  # type: ignore[arg-type]
    if not 0 < value < float("inf"):
        raise ValueError(f"a temperature of {value}")
    return value
