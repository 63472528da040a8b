"""Splits by patient: a held-out test set and folds, new or given, stratified, site-preserving, nested, repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicebank_models.errors import PatientLeak, TooFewPatients
from slicebank_models.heads.protocol import ProtocolSpec, Validation
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, n_test_patients
from slicebank_models.training.dealing import Groups, deal, groups_of
from slicebank_models.training.splits_file import GivenSplits, check_given, read_splits
from slicebank_models.training.strata import Stratum, strata_of

JSON = dict[str, Any]

STOPPING_SHARE = 0.2  # of a nested fold's training patients: they stop it and are not learnt from
_STOPPING = 1  # keeps the seeds of inner parts apart from those of folds


@dataclass(frozen=True, slots=True)
class Fold:
    """Positions in the list of cases.

    Attributes:
        train: Learnt from.
        validation: Measured. No patient of `train` or `stopping` is in it, unless `stopping` is `validation` itself.
        stopping: Decides when to stop: `validation`, or, where the protocol is nested, cases of other patients.
        repeat: Number of the cross-validation that the fold belongs to.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    stopping: tuple[int, ...]
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Splits:
    """A held-out test set and the folds of the rest; no patient is on two sides of any line.

    Attributes:
        warnings: What the splits cannot give.
    """

    folds: tuple[Fold, ...]
    test: tuple[int, ...]
    warnings: tuple[str, ...] = ()


def plan_splits(cases: Sequence[Case], task: TaskSpec, training: TrainingSpec, protocol: ProtocolSpec) -> Splits:
    """Holds out a test set and divides the rest into folds, or takes the splits that the protocol gives.

    The same arguments give the same splits. Patients count in the order in which the cases name them, not by their names:
    pseudonyms differ between installations. So order the cases by something that stays.

    Args:
        cases: With known targets; at least `folds` patients beside the test set, as `check_cases` demands.
        task: Its kind decides what is stratified.
        training: `folds`, `test_fraction`, `seed`.
        protocol: `validation`, `repeats`, `stratify`, `preserve_sites`, `splits`.

    Raises:
        BadSplits: Given splits that cannot be read, or a fold of them without a case to learn from or to measure.
        PatientLeak: Given splits with a patient on both sides, or, where sites are preserved, a site.
        TooFewPatients: Fewer sites than parts where sites are preserved, or too few patients for an inner part.
    """
    strata = strata_of(cases, task.kind) if protocol.stratify else [() for _ in cases]
    if protocol.splits is not None:
        return _given(cases, strata, training, protocol)
    groups = groups_of(cases, strata, by_site=protocol.preserve_sites)
    warnings = _site_warnings(cases, groups) if protocol.preserve_sites else []
    generator = np.random.default_rng(training.seed)
    patients = sum(groups.sizes)
    n_test = n_test_patients(patients, training.test_fraction)
    if len(groups.members) < training.folds + (n_test > 0):
        raise TooFewPatients(
            f"{len(groups.members)} sites do not fill {training.folds} folds{' and a test part' if n_test else ''} "
            "where every site stays on one side. Lower folds or test_fraction, or leave preserve_sites out."
        )
    test: frozenset[int] = frozenset()
    everyone = frozenset(range(len(groups.members)))
    if n_test:
        test = deal(groups, everyone, (patients - n_test, n_test), generator)[1]
        if len(everyone) - len(test) < training.folds:
            raise TooFewPatients(
                f"{len(everyone) - len(test)} sites beside those held out for testing do not fill {training.folds} folds."
            )
    rest = everyone - test
    folds = []
    for repeat in range(protocol.repeats):
        # The first repeat goes on with the generator that chose the test part; each other one has a seed of its own.
        dealing = generator if repeat == 0 else np.random.default_rng([training.seed, repeat])
        for number, part in enumerate(deal(groups, rest, (1,) * training.folds, dealing)):
            seed = (training.seed, repeat, number, _STOPPING)
            folds.append(_fold(groups, rest - part, part, protocol, seed, repeat))
    return Splits(tuple(folds), groups.cases(test), tuple(warnings))


def _fold(
    groups: Groups,
    train: frozenset[int],
    validation: frozenset[int],
    protocol: ProtocolSpec,
    seed: tuple[int, ...],
    repeat: int,
) -> Fold:
    measured = groups.cases(validation)
    if protocol.validation is not Validation.NESTED:
        return Fold(groups.cases(train), measured, measured, repeat)
    if len(train) < 2:
        raise TooFewPatients("A nested fold needs two patients or sites to learn from: one of them stops it.")
    shares = (1 - STOPPING_SHARE, STOPPING_SHARE)
    learnt, stopping = deal(groups, train, shares, np.random.default_rng(seed))
    return Fold(groups.cases(learnt), measured, groups.cases(stopping), repeat)


def _given(
    cases: Sequence[Case], strata: Sequence[tuple[Stratum, ...]], training: TrainingSpec, protocol: ProtocolSpec
) -> Splits:
    given = read_splits(protocol.splits or {})
    warnings = check_given(protocol.splits or {}, {case.patient for case in cases})
    if protocol.preserve_sites:
        _require_whole_sites(cases, given)
    groups = groups_of(cases, strata, by_site=False)
    number = {case.patient: at for at, members in enumerate(groups.members) for case in [cases[members[0]]]}

    def found(patients: Sequence[str]) -> frozenset[int]:
        return frozenset(number[patient] for patient in patients if patient in number)

    folds = []
    for at, fold in enumerate(given.folds):
        train, validation, stopping = found(fold.train), found(fold.validation), found(fold.stopping)
        if stopping and protocol.validation is Validation.NESTED:
            folds.append(Fold(groups.cases(train), groups.cases(validation), groups.cases(stopping), fold.repeat))
        else:
            # An inner part that nothing is to be stopped on is learnt from.
            seed = (training.seed, fold.repeat, at, _STOPPING)
            learnt = groups.cases(train | stopping)
            inner = groups_of(
                [cases[place] for place in learnt], [strata[place] for place in learnt], by_site=protocol.preserve_sites
            )
            everyone = frozenset(range(len(inner.members)))
            dealt = _fold(inner, everyone, frozenset(), protocol, seed, fold.repeat)
            measured = groups.cases(validation)
            nested = protocol.validation is Validation.NESTED
            stops = tuple(learnt[place] for place in dealt.stopping) if nested else measured
            folds.append(Fold(tuple(learnt[place] for place in dealt.train), measured, stops, fold.repeat))
    return Splits(tuple(folds), groups.cases(found(given.test)), warnings)


def _require_whole_sites(cases: Sequence[Case], given: GivenSplits) -> None:
    """Checks that no site is on both sides of a line that somebody else drew."""
    site = {case.patient: case.site for case in cases if case.site}

    def sites(patients: Sequence[str]) -> set[str]:
        return {site[patient] for patient in patients if patient in site}

    for number, fold in enumerate(given.folds):
        inner = sites(fold.train) | sites(fold.stopping)
        parts = {"train and validation": inner & sites(fold.validation)}
        parts["test and fold"] = sites(given.test) & (inner | sites(fold.validation))
        for where, shared in parts.items():
            if shared:
                raise PatientLeak(
                    f"The given splits have site {min(shared)[:40]} in both {where} of fold {number}, and preserve_sites keeps sites on "
                    "one side: mend the splits, or leave preserve_sites out."
                )


def _site_warnings(cases: Sequence[Case], groups: Groups) -> list[str]:
    without = len({case.patient for case in cases if not case.site})
    largest = max(groups.sizes, default=0)
    warnings = []
    if without:
        warnings.append(f"{without} patients have no site; each counts as a site of its own.")
    if largest > sum(groups.sizes) / 2:
        warnings.append(
            f"One site has {largest} of {sum(groups.sizes)} patients; folds that keep it whole cannot be even."
        )
    return warnings


def splits_as_dict(splits: Splits, cases: Sequence[Case]) -> JSON:
    """Returns the splits as sorted patients: `test`, and `repeat`, `train`, `validation` and, if it differs, `stopping` per fold."""

    def patients(places: tuple[int, ...]) -> list[str]:
        return sorted({cases[at].patient for at in places})

    return {
        "test": patients(splits.test),
        "folds": [
            {
                "repeat": fold.repeat,
                "train": patients(fold.train),
                "validation": patients(fold.validation),
                **({} if fold.stopping == fold.validation else {"stopping": patients(fold.stopping)}),
            }
            for fold in splits.folds
        ],
    }
