"""Metrics under many weightings of the same cases at once: a resampling of cases is a weighting by how often each was drawn.

scikit-learn and scikit-survival measure one weighting a call, minutes for a thousand resamplings of five thousand cases; here a
call measures all. Tests hold every function to theirs. NumPy alone, so that a service can compare heads.

Weights are (R, n), one row a weighting; results are (R,), NaN where a weighting leaves a metric without a meaning.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]

ECE_BINS = 15
SPECIFICITY = 0.9
_PAIR_ROWS = 512  # of the matrix of pairs held at once; bounds memory for large cohorts
# A specificity that is 0.9 but for rounding counts as 0.9.
_ROUNDING = 1e-12


def ranking(truth: Truth, score: Values, weights: Values) -> dict[str, Values]:
    """Returns `auroc`, `auprc` and `sensitivity_at_90_specificity`.

    AUROC: the share of pairs of a positive and a negative in which the positive scores higher, ties half. AUPRC: average precision,
    the precision at each distinct score weighted by the recall that it adds. Sensitivity: the highest of any threshold whose
    specificity is at least 0.9.

    Args:
        truth: (n,) whether the label holds.
        score: (n,).
        weights: (R, n).
    """
    order = np.argsort(-score, kind="stable")
    truth, score = truth[order], score[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.zeros(0, dtype=np.int64)
    drawn = weights[:, order]
    # At each distinct score: weight of positives and of negatives that score at least that.
    hits = np.cumsum(drawn * truth, axis=1)[:, last]
    alarms = np.cumsum(drawn * ~truth, axis=1)[:, last]
    positives, negatives = (hits[:, -1], alarms[:, -1]) if len(last) else (np.zeros(len(weights)),) * 2
    more_hits = np.diff(hits, axis=1, prepend=0.0)
    more_alarms = np.diff(alarms, axis=1, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        won = (more_alarms * (hits - more_hits / 2)).sum(axis=1)
        precision = np.where(hits + alarms > 0, hits / (hits + alarms), 0.0)
        auprc = (more_hits * precision).sum(axis=1) / positives
        auroc = won / (positives * negatives)
        quiet = alarms <= (1 - SPECIFICITY) * negatives[:, None] + _ROUNDING * negatives[:, None]
        sensitivity = np.where(quiet, hits, 0.0).max(axis=1, initial=0.0) / positives
    both = (positives > 0) & (negatives > 0)
    return {
        "auroc": np.where(both, auroc, np.nan),
        "auprc": np.where(positives > 0, auprc, np.nan),
        "sensitivity_at_90_specificity": np.where(both, sensitivity, np.nan),
    }


def deciding(truth: Truth, said: Truth, weights: Values) -> dict[str, Values]:
    """Returns `f1` and `accuracy` of (n,) predictions `said`."""
    total = weights.sum(axis=1)
    found = weights @ (truth & said)
    wrong = weights @ (truth ^ said)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"f1": 2 * found / (2 * found + wrong), "accuracy": weights @ (truth == said) / total}


def probabilistic(truth: Truth, probability: Values, weights: Values) -> dict[str, Values]:
    """Returns `brier` and `ece`.

    Brier: mean squared distance of probability and answer. ECE: over ECE_BINS bins of equal width, the distance of mean probability
    and rate of positives, weighted by the bin's cases.
    """
    total = weights.sum(axis=1)
    gap = probability - truth
    inside = np.zeros((len(gap), ECE_BINS))
    inside[np.arange(len(gap)), bin_of(probability)] = gap
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"brier": weights @ gap**2 / total, "ece": np.abs(weights @ inside).sum(axis=1) / total}


def bin_of(probability: Values, bins: int = ECE_BINS) -> NDArray[np.int64]:
    """Returns the bin of each probability; bins are of equal width, open to the right but for the last."""
    return np.clip((probability * bins).astype(np.int64), 0, bins - 1)


def numeric(truth: Values, value: Values, weights: Values) -> dict[str, Values]:
    """Returns `mae`, `rmse` and `r2` of (n,) values against (n,) truths; R2 is against the weighted mean of the truths."""
    total = weights.sum(axis=1)
    error = value - truth
    # Around their mean first: squares of large numbers lose what is asked for.
    centred = truth - (truth.mean() if len(truth) else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = weights @ error**2
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        least = 1e-12 * (weights @ centred**2) + np.finfo(np.float64).tiny
        return {
            "mae": weights @ np.abs(error) / total,
            "rmse": np.sqrt(square / total),
            "r2": np.where(spread > least, 1 - square / spread, np.nan),
        }


def concordance(time: Values, event: Truth, risk: Values, weights: Values) -> Values:
    """Returns Harrell's C-index: of the pairs whose order is known, the share in which who had the event first has the higher risk.

    A pair is known if the earlier time is an event's, or if both times are equal and one alone is an event's. Equal risks count half.

    Args:
        time: (n,) of event or censoring.
        event: (n,) whether it was an event.
        risk: (n,) higher means earlier.
        weights: (R, n).
    """
    drawn = np.ascontiguousarray(weights.T, dtype=np.float32)  # (n, R); counts of draws are exact
    known = np.zeros(weights.shape[0])
    won = np.zeros(weights.shape[0])
    for rows in _blocks(np.flatnonzero(event)):
        later = (time[rows, None] < time) | ((time[rows, None] == time) & ~event)  # (block, n)
        higher = later * (np.sign(risk[rows, None] - risk) / 2 + 0.5)
        known += np.einsum("ir,ir->r", drawn[rows], later.astype(np.float32) @ drawn, dtype=np.float64)
        won += np.einsum("ir,ir->r", drawn[rows], higher.astype(np.float32) @ drawn, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return won / known


def _blocks(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), _PAIR_ROWS):
        yield places[start : start + _PAIR_ROWS]
