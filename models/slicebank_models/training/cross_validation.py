"""Splits by patient, as even in every label as patients allow (iterative stratification, Sechidis et al. 2011)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicebank_models.heads.targets import Case, n_test_patients

JSON = dict[str, Any]

Stratum = tuple[int, float]  # (place in the target, answer)


@dataclass(frozen=True, slots=True)
class Fold:
    """Positions in the list of cases."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Splits:
    """A held-out test set and the folds of the rest; no patient is on two sides of any line."""

    folds: tuple[Fold, ...]
    test: tuple[int, ...]


def split_cases(cases: Sequence[Case], *, folds: int, test_fraction: float, seed: int) -> Splits:
    """Holds out a test set, then divides the rest into folds; the same arguments give the same splits.

    Needs at least `folds` patients beside the test set, as `check_cases` demands.
    """
    generator = np.random.default_rng(seed)
    patients = sorted({case.patient for case in cases})
    n_test = n_test_patients(len(patients), test_fraction)
    test_patients: frozenset[str] = frozenset()
    if n_test:
        shares = (len(patients) - n_test, n_test)
        test_patients = _assign(cases, shares, generator)[1]
    rest = [case for case in cases if case.patient not in test_patients]
    parts = _assign(rest, (1,) * folds, generator)
    test = tuple(at for at, case in enumerate(cases) if case.patient in test_patients)
    return Splits(
        folds=tuple(
            Fold(
                train=tuple(
                    at
                    for at, case in enumerate(cases)
                    if case.patient not in part and case.patient not in test_patients
                ),
                validation=tuple(at for at, case in enumerate(cases) if case.patient in part),
            )
            for part in parts
        ),
        test=test,
    )


def _assign(
    cases: Sequence[Case], shares: tuple[int, ...], generator: np.random.Generator
) -> tuple[frozenset[str], ...]:
    """Deals patients out to parts of the given relative sizes, the rarest answers first."""
    strata: dict[str, Counter[Stratum]] = {}
    for case in cases:
        counts = strata.setdefault(case.patient, Counter())
        counts.update((place, answer) for place, answer in enumerate(case.target) if answer is not None)
    waiting = sorted(strata)
    generator.shuffle(waiting)
    fractions = np.array(shares, dtype=np.float64) / sum(shares)
    totals: Counter[Stratum] = Counter()
    for counts in strata.values():
        totals.update(counts)
    wanted = {stratum: total * fractions for stratum, total in totals.items()}
    wanted_patients = len(waiting) * fractions
    parts: list[set[str]] = [set() for _ in shares]
    while waiting:
        left = Counter(stratum for patient in waiting for stratum in strata[patient])
        rarest = min(left, key=lambda stratum: (left[stratum], stratum), default=None)
        group = [patient for patient in waiting if rarest is None or strata[patient][rarest]]
        for patient in group:
            wish = wanted[rarest] if rarest is not None else wanted_patients
            # An empty part comes first (every fold needs a patient), then the greatest wish for this answer.
            part = max(range(len(parts)), key=lambda at: (not parts[at], wish[at], wanted_patients[at], -at))
            parts[part].add(patient)
            wanted_patients[part] -= 1
            for stratum, count in strata[patient].items():
                wanted[stratum][part] -= count
        taken = set(group)
        waiting = [patient for patient in waiting if patient not in taken]
    return tuple(frozenset(part) for part in parts)


def splits_as_dict(splits: Splits, cases: Sequence[Case]) -> JSON:
    """Returns the splits as sorted patients: `test`, and `train` and `validation` per fold."""

    def patients(places: tuple[int, ...]) -> list[str]:
        return sorted({cases[at].patient for at in places})

    return {
        "test": patients(splits.test),
        "folds": [{"train": patients(f.train), "validation": patients(f.validation)} for f in splits.folds],
    }
