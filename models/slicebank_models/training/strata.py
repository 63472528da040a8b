"""What a target counts as when patients are dealt out to folds: answers, bins of numbers, events and when they came."""

from collections.abc import Sequence

import numpy as np

from slicebank_models.heads.spec import TaskKind
from slicebank_models.heads.targets import Case

Stratum = tuple[int, float]  # (place in the target, answer or number of a bin)

MOST_BINS = 5
# Below this many patients a bin, a bin says more of chance than of the answer.
PATIENTS_A_BIN = 10


def strata_of(cases: Sequence[Case], kind: TaskKind) -> list[tuple[Stratum, ...]]:
    """Returns what each case counts as.

    Binary, multilabel and multiclass: its known answers. Regression: the quantile bin of each known number. Survival: whether
    the event happened and, if it did, the quantile bin of its time; a censored time tells too little of when to be binned.
    """
    if kind is TaskKind.REGRESSION:
        return _bins_of_numbers(cases)
    if kind is TaskKind.SURVIVAL:
        return _events(cases)
    return [tuple((place, answer) for place, answer in enumerate(case.target) if answer is not None) for case in cases]


def _bins_of_numbers(cases: Sequence[Case]) -> list[tuple[Stratum, ...]]:
    found: list[list[Stratum]] = [[] for _ in cases]
    for place in range(len(cases[0].target) if cases else 0):
        known = [(at, value) for at, case in enumerate(cases) if (value := case.target[place]) is not None]
        patients = len({cases[at].patient for at, _ in known})
        for (at, _), number in zip(known, _quantile_bin([value for _, value in known], patients), strict=True):
            found[at].append((place, float(number)))
    return [tuple(strata) for strata in found]


def _events(cases: Sequence[Case]) -> list[tuple[Stratum, ...]]:
    happened = [
        (at, time) for at, case in enumerate(cases) if case.target[1] == 1 and (time := case.target[0]) is not None
    ]
    bins = _quantile_bin([time for _, time in happened], len({cases[at].patient for at, _ in happened}))
    of_case = {at: float(number) for (at, _), number in zip(happened, bins, strict=True)}
    return [
        () if (event := case.target[1]) is None else ((0, event), *(((1, of_case[at]),) if at in of_case else ()))
        for at, case in enumerate(cases)
    ]


def _quantile_bin(values: Sequence[float], patients: int) -> list[int]:
    """Returns the bin of each value: as many bins of equal size as patients fill, MOST_BINS at most."""
    bins = max(1, min(MOST_BINS, patients // PATIENTS_A_BIN))
    if bins == 1:
        return [0] * len(values)
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return [int(number) for number in np.searchsorted(edges, values, side="right")]
