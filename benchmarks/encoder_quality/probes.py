"""k nearest neighbours and a linear probe on frozen features, and which slices they may learn from.

A slice is not judged by slices beside it: whole blocks are held out, with a guard on both sides, or whole patients. The one
exception says so in its name: tumour slices of `lung1`, three in a row, are judged slice by slice, with their neighbours in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Features = NDArray[np.float32]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Slices to learn from and slices to judge."""

NEIGHBOURS = 5
# Inverse strength of the probe's penalty; set once for all encoders, before any was trained.
PROBE_C = 0.1
PROBE_STEPS = 2000


def blocks_held_out(members: NDArray[np.int64], block: int, guard: int) -> Iterator[Fold]:
    """Folds of one series; every slice is judged once.

    Args:
        members: its slices, from inferior to superior.
        block: slices held out together; the last block may be longer by less than one.
        guard: slices left out on either side of a block.
    """
    n_blocks = max(1, len(members) // block)
    bounds = np.linspace(0, len(members), n_blocks + 1).round().astype(int)
    for start, stop in pairwise(bounds):
        kept = np.ones(len(members), bool)
        kept[max(0, start - guard) : stop + guard] = False
        yield members[kept], members[start:stop]


def series_held_out(series: NDArray[np.int64]) -> Iterator[Fold]:
    """Folds over series, one held out at a time: (slices,) number of each slice's series."""
    for number in np.unique(series):
        yield np.nonzero(series != number)[0], np.nonzero(series == number)[0]


def standardise(learn: Features, judge: Features) -> tuple[Features, Features]:
    """Both by the mean and standard deviation of `learn`, so that no dimension counts more for its unit."""
    mean, spread = learn.mean(axis=0, dtype=np.float64), learn.std(axis=0, dtype=np.float64)
    spread[spread <= np.finfo(np.float32).eps * np.abs(mean)] = 1.0  # a dimension that says nothing stays 0
    return ((learn - mean) / spread).astype(np.float32), ((judge - mean) / spread).astype(np.float32)


def nearest_neighbours(
    learn: Features, truth: NDArray[np.int64], judge: Features, n_classes: int
) -> NDArray[np.float64]:
    """Share of the NEIGHBOURS nearest slices by cosine that are of each class: (judged, classes).

    Args:
        learn: (n, D) standardised here.
        truth: (n,) class.
        judge: (m, D).
        n_classes: how many there are.
    """
    learn, judge = standardise(learn, judge)
    nearest = np.argsort(-cosines(judge, learn), axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.stack([(truth[nearest] == index).mean(axis=1) for index in range(n_classes)], axis=1)


def linear_probe(learn: Features, truth: NDArray[np.int64], judge: Features, n_classes: int) -> NDArray[np.float64]:
    """Probabilities by logistic regression with an L2 penalty: (judged, classes); 0 for classes that `truth` lacks.

    Arguments as for `nearest_neighbours`.
    """
    found = np.zeros((len(judge), n_classes))
    present = np.unique(truth)
    if len(present) == 1:
        found[:, present[0]] = 1.0
        return found
    learn, judge = _in_span(*standardise(learn, judge))
    probe = LogisticRegression(C=PROBE_C, max_iter=PROBE_STEPS).fit(learn, truth)
    found[:, present] = probe.predict_proba(judge)
    return found


def _in_span(learn: Features, judge: Features) -> tuple[Features, Features]:
    """Coordinates in the span of `learn`, outside of which the penalty leaves no weight: the same probe, of n dimensions instead of D."""
    if len(learn) >= learn.shape[1]:
        return learn, judge
    left, size, right = np.linalg.svd(learn, full_matrices=False)
    return left * size, judge @ right.T


def cosines(one: Features, other: Features) -> NDArray[np.float32]:
    """Cosine of every feature of one with every feature of the other: (n, m)."""
    return _unit(one) @ _unit(other).T


def _unit(features: Features) -> Features:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length == 0.0, 1.0, length)
