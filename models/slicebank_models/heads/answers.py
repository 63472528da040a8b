"""A head's answer about one bag, as it is stored and shown; no torch here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.calibration import calibrated_logits, log_probabilities
from slicebank_models.heads.protocol import Calibration
from slicebank_models.heads.spec import TaskKind, TaskSpec


@dataclass(frozen=True, slots=True)
class Output:
    """One output's answer.

    Attributes:
        label: Name of the output.
        probability: Mean of the folds' probabilities, calibrated where the head holds a calibration; None for
            regression and survival.
        logit: Log-odds of `probability` (binary, multilabel) or its logarithm (multiclass); None likewise.
        fold_std: Standard deviation of the folds' probabilities or values (divisor: number of folds).
        value: Regression: the mean of the folds' values, in the label's unit. Survival: the risk, the mean over folds of the
            log hazard ratio against the mean of the fold's training cases. None for the other tasks.
        raw_probability: Mean of the folds' probabilities before calibration; equals `probability` without one.
        calibrated: Whether `probability` is calibrated.
    """

    label: str
    probability: float | None
    logit: float | None
    fold_std: float
    value: float | None = None
    raw_probability: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class HeadPrediction:
    """An answer and the rows that drove it.

    Attributes:
        outputs: One an output of the task.
        attention: (N,) float64, mean of the folds' attention weights, sums to 1; of a head with attention per output,
            the mean over outputs too.
        attention_logits: (N,) float64, mean of the folds' logits before the softmax (and over outputs likewise).
        output_attention: (n_outputs, N) float64, each row sums to 1; None unless the head has attention per output.
        output_attention_logits: (n_outputs, N) float64; None likewise.
    """

    outputs: tuple[Output, ...]
    attention: NDArray[np.float64]
    attention_logits: NDArray[np.float64]
    output_attention: NDArray[np.float64] | None = None
    output_attention_logits: NDArray[np.float64] | None = None


def answers(
    task: TaskSpec, logits: NDArray[np.float64], calibration: Mapping[str, Any] | None = None
) -> tuple[Output, ...]:
    """Joins the folds' answers about one bag.

    Args:
        task: With its outputs' names.
        logits: (folds, n_outputs) float64; values of regression and survival tasks.
        calibration: Applied to each fold, as it was fitted on predictions of single folds.
    """
    if task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        means, spreads = logits.mean(axis=0), logits.std(axis=0)
        return tuple(
            Output(label, None, None, float(spread), value=float(mean))
            for label, mean, spread in zip(task.outputs, means, spreads, strict=True)
        )
    calibrated = calibration is not None and calibration.get("method") != Calibration.NONE
    raw = np.exp(log_probabilities(task, logits)[0]).mean(axis=0)
    if calibration is not None:
        logits = calibrated_logits(task, calibration, logits)
    log_p, log_q = log_probabilities(task, logits)
    # In logarithms, so that a fold that is certain does not end in an infinite logit.
    joined = np.logaddexp.reduce(log_p, axis=0)
    joined -= math.log(len(logits)) if task.kind is TaskKind.MULTICLASS else np.logaddexp.reduce(log_q, axis=0)
    probabilities = np.exp(log_p)
    means, spreads = probabilities.mean(axis=0), probabilities.std(axis=0)
    return tuple(
        Output(
            label,
            float(means[at]),
            float(joined[at]),
            float(spreads[at]),
            raw_probability=float(raw[at]) if calibrated else float(means[at]),
            calibrated=calibrated,
        )
        for at, label in enumerate(task.outputs)
    )
