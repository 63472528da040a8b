import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.errors import BadSplits, PatientLeak, TooFewPatients
from slicebank_models.heads.protocol import ProtocolSpec, Validation
from slicebank_models.heads.spec import TaskKind, TrainingSpec
from slicebank_models.heads.targets import Case, n_test_patients
from slicebank_models.training.cross_validation import Splits, plan_splits, splits_as_dict
from tests.models.training.labelled_cases import TASKS, labelled_cases

BINARY = TASKS[TaskKind.BINARY]


def patients(cases: list[Case], places: tuple[int, ...]) -> set[str]:
    return {cases[at].patient for at in places}


def check_sides(cases: list[Case], splits: Splits, folds: int, repeats: int, *, nested: bool) -> None:
    """No patient is on two sides, every case is somewhere, and each repeat measures every case once."""
    everything = set(range(len(cases)))
    held_out = patients(cases, splits.test)
    assert len(splits.folds) == folds * repeats
    for fold in splits.folds:
        train, validation, stopping = (patients(cases, p) for p in (fold.train, fold.validation, fold.stopping))
        assert train
        assert validation
        assert stopping
        assert not train & validation
        assert not train & stopping
        assert not (train | validation | stopping) & held_out
        assert stopping == validation if not nested else not stopping & validation
        assert set(fold.train) | set(fold.validation) | set(fold.stopping) | set(splits.test) == everything
    for repeat in range(repeats):
        measured = [at for fold in splits.folds if fold.repeat == repeat for at in fold.validation]
        assert sorted(measured + list(splits.test)) == sorted(everything)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_patient_is_on_two_sides_in_any_protocol(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(TaskKind)))
    cases = data.draw(labelled_cases(kind))
    training = TrainingSpec(
        folds=data.draw(st.integers(2, 4)),
        test_fraction=data.draw(st.sampled_from([0.0, 0.2])),
        seed=data.draw(st.integers(0, 5)),
    )
    protocol = ProtocolSpec(
        validation=data.draw(st.sampled_from(Validation)),
        repeats=data.draw(st.integers(1, 3)),
        stratify=data.draw(st.booleans()),
    )
    splits = plan_splits(cases, TASKS[kind], training, protocol)
    assert splits == plan_splits(cases, TASKS[kind], training, protocol)
    assert bool(splits.test) == (training.test_fraction > 0)
    nested = protocol.validation is Validation.NESTED
    check_sides(cases, splits, training.folds, protocol.repeats, nested=nested)
    left = len({case.patient for case in cases}) - len(patients(cases, splits.test))
    share = left / training.folds
    assert {len(patients(cases, fold.validation)) for fold in splits.folds} <= {math.floor(share), math.ceil(share)}
    # What is saved is what is used when it is given back.
    saved = ProtocolSpec(validation=protocol.validation, splits=splits_as_dict(splits, cases))
    again = plan_splits(cases, TASKS[kind], training, saved)
    assert (again.folds, again.test, again.warnings) == (splits.folds, splits.test, ())


@settings(deadline=None, max_examples=80)
@given(labelled_cases(TaskKind.BINARY, sites=6), st.integers(0, 3), st.booleans())
def test_sites_stay_whole(cases: list[Case], seed: int, nested: bool) -> None:
    validation = Validation.NESTED if nested else Validation.CROSS_VALIDATION
    protocol = ProtocolSpec(preserve_sites=True, site_column="site", validation=validation)
    try:
        splits = plan_splits(cases, BINARY, TrainingSpec(folds=3, seed=seed), protocol)
    except TooFewPatients:
        assert len({case.site or case.patient for case in cases}) <= 5
        return
    check_sides(cases, splits, 3, 1, nested=nested)
    for fold in splits.folds:
        parts = [fold.train, fold.validation, splits.test] + ([fold.stopping] if nested else [])
        for site in {case.site for case in cases if case.site}:
            assert sum(any(cases[at].site == site for at in part) for part in parts) <= 1


def test_sites_that_share_a_patient_are_one() -> None:
    cases = [Case(at, f"p{at}", (at % 2,), site=f"s{at % 6}") for at in range(24)]
    cases += [Case(24, "p0", (0,), site="s1"), Case(25, "alone", (1,))]
    protocol = ProtocolSpec(preserve_sites=True, site_column="site")
    splits = plan_splits(cases, BINARY, TrainingSpec(folds=3, test_fraction=0.0), protocol)
    for fold in splits.folds:
        assert len({at in fold.train for at, case in enumerate(cases) if case.site in ("s0", "s1")}) == 1
    assert splits.warnings == ("1 patients have no site; each counts as a site of its own.",)
    with pytest.raises(TooFewPatients, match="6 sites do not fill 7 folds"):
        plan_splits(cases, BINARY, TrainingSpec(folds=7, test_fraction=0.0), protocol)


def test_one_case_a_patient_is_split_as_evenly_as_possible() -> None:
    cases = [Case(at, f"p{at}", (int(at < 30),)) for at in range(120)]
    splits = plan_splits(cases, BINARY, TrainingSpec(seed=3), ProtocolSpec())
    assert len(splits.test) == n_test_patients(120, 0.2) == 24
    assert sum(cases[at].target == (1,) for at in splits.test) == 6
    for fold in splits.folds:
        positives = sum(cases[at].target == (1,) for at in fold.validation)
        assert positives in (4, 5)
        assert 19 <= len(fold.validation) <= 20


def test_a_nested_fold_is_stopped_by_a_fifth_of_its_own_training_patients() -> None:
    cases = [Case(at, f"p{at}", (int(at < 30),)) for at in range(100)]
    training = TrainingSpec(test_fraction=0.0)
    for fold in plan_splits(cases, BINARY, training, ProtocolSpec(validation=Validation.NESTED)).folds:
        assert (len(fold.train), len(fold.stopping), len(fold.validation)) == (64, 16, 20)
        assert sum(cases[at].target == (1,) for at in fold.stopping) in (4, 5)


def test_rare_labels_and_classes_spread_over_folds() -> None:
    generator = np.random.default_rng(0)
    training = TrainingSpec(test_fraction=0.0)
    multilabel = [Case(at, f"p{at}", (int(at < 10), int(generator.random() < 0.5), 0)) for at in range(100)]
    for fold in plan_splits(multilabel, TASKS[TaskKind.MULTILABEL], training, ProtocolSpec()).folds:
        assert sum(multilabel[at].target[0] == 1 for at in fold.validation) == 2
    multiclass = [Case(at, f"p{at}", (at % 3,)) for at in range(30)]
    for fold in plan_splits(multiclass, TASKS[TaskKind.MULTICLASS], training, ProtocolSpec()).folds:
        assert Counter(multiclass[at].target for at in fold.validation) == {(answer,): 2 for answer in range(3)}


def test_numbers_and_events_spread_over_folds() -> None:
    generator = np.random.default_rng(1)
    training = TrainingSpec(test_fraction=0.0)
    numbers = [Case(at, f"p{at}", (float(np.exp(value)), None)) for at, value in enumerate(generator.normal(size=100))]
    limit = np.quantile([case.target[0] for case in numbers if case.target[0] is not None], 0.8)
    for fold in plan_splits(numbers, TASKS[TaskKind.REGRESSION], training, ProtocolSpec()).folds:
        assert sum((numbers[at].target[0] or 0) > limit for at in fold.validation) == 4
    times = generator.exponential(size=100)
    deaths = [Case(at, f"p{at}", (float(time), int(at < 50))) for at, time in enumerate(times)]
    early = np.median(times[:50])
    for fold in plan_splits(deaths, TASKS[TaskKind.SURVIVAL], training, ProtocolSpec()).folds:
        assert sum(deaths[at].target[1] == 1 for at in fold.validation) == 10
        assert 3 <= sum(at < 50 and times[at] < early for at in fold.validation) <= 7


def test_splits_without_stratification_are_even_in_patients_alone() -> None:
    cases = [Case(at, f"p{at}", (int(at < 30),)) for at in range(120)]
    splits = plan_splits(cases, BINARY, TrainingSpec(), ProtocolSpec(stratify=False))
    assert {len(fold.validation) for fold in splits.folds} == {19, 20}
    assert len({sum(at < 30 for at in fold.validation) for fold in splits.folds}) > 2


def test_seeds_and_repeats_give_different_splits_and_names_of_patients_do_not() -> None:
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(20)]
    training = TrainingSpec(folds=4)
    first, second = (plan_splits(cases, BINARY, TrainingSpec(folds=4, seed=seed), ProtocolSpec()) for seed in (0, 1))
    assert first != second
    twice = plan_splits(cases, BINARY, training, ProtocolSpec(repeats=2))
    assert twice.folds[:4] == first.folds
    assert {fold.validation for fold in twice.folds[4:]}.isdisjoint({fold.validation for fold in first.folds})
    assert twice.test == first.test
    renamed = [Case(case.index, f"{99 - case.index}", case.target) for case in cases]
    assert plan_splits(renamed, BINARY, training, ProtocolSpec()) == first
    named = splits_as_dict(first, cases)
    assert len(named["test"]) == 4
    assert [len(fold["validation"]) for fold in named["folds"]] == [4, 4, 4, 4]
    assert sorted(named["test"] + named["folds"][0]["train"] + named["folds"][0]["validation"]) == sorted(
        case.patient for case in cases
    )


def test_given_splits_of_stamp_are_used_as_they_are() -> None:
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(10)]
    stamp = {
        "splits": [
            {"train_patients": ["p0", "p1", "p2", "p3", "elsewhere"], "test_patients": ["p4", "p5"]},
            {"train_patients": ["p4", "p5", "p2", "p3"], "test_patients": ["p0", "p1"]},
        ]
    }
    splits = plan_splits(cases, BINARY, TrainingSpec(), ProtocolSpec(splits=stamp))
    assert [(fold.train, fold.validation, fold.stopping) for fold in splits.folds] == [
        ((0, 1, 2, 3), (4, 5), (4, 5)),
        ((2, 3, 4, 5), (0, 1), (0, 1)),
    ]
    assert splits.test == ()
    assert splits.warnings == (
        "1 patients of the given splits have no labelled bag and are left out of them.",
        "4 labelled patients are in no part of the given splits and are left out.",
    )
    nested = plan_splits(cases, BINARY, TrainingSpec(), ProtocolSpec(splits=stamp, validation=Validation.NESTED))
    for fold, part in zip(nested.folds, [{0, 1, 2, 3}, {2, 3, 4, 5}], strict=True):
        assert set(fold.train) | set(fold.stopping) == part
        assert not set(fold.train) & set(fold.stopping)


def test_given_splits_that_leak_or_name_nobody_are_refused() -> None:
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(10)]

    def plan(train: list[str], validation: list[str], test: list[str]) -> Splits:
        given = {"folds": [{"train": train, "validation": validation}], "test": test}
        return plan_splits(cases, BINARY, TrainingSpec(), ProtocolSpec(splits=given))

    with pytest.raises(PatientLeak, match="p1 of the given splits: on both sides of fold 0"):
        plan(["p0", "p1"], ["p1", "p2"], [])
    with pytest.raises(PatientLeak, match="p2 of the given splits: in the test part and in fold 0"):
        plan(["p0", "p1"], ["p2"], ["p2"])
    with pytest.raises(BadSplits, match="no labelled patient to measure"):
        plan(["p0", "p1"], ["other"], [])
    with pytest.raises(BadSplits, match="no labelled patient to train on"):
        plan(["other"], ["p1"], [])


def test_given_splits_keep_sites_whole_or_are_refused() -> None:
    cases = [Case(at, f"p{at}", (at % 2,), site=f"s{at // 4}") for at in range(24)]
    names = [case.patient for case in cases]
    whole = {"folds": [{"train": names[8:], "validation": names[:8]}, {"train": names[:16], "validation": names[16:]}]}
    protocol = ProtocolSpec(preserve_sites=True, site_column="site", splits=whole, validation=Validation.NESTED)
    splits = plan_splits(cases, TASKS[TaskKind.BINARY], TrainingSpec(), protocol)
    for fold in splits.folds:
        sites = [{cases[at].site for at in part} for part in (fold.train, fold.validation, fold.stopping)]
        assert all(sites)
        assert sum(map(len, sites)) == len(set.union(*sites))
    torn = {"folds": [{"train": names[6:], "validation": names[:6]}]}
    with pytest.raises(PatientLeak, match="site s1 in both train and validation of fold 0"):
        plan_splits(
            cases,
            TASKS[TaskKind.BINARY],
            TrainingSpec(),
            ProtocolSpec(preserve_sites=True, site_column="site", splits=torn),
        )
    tested = {"test": names[:2], "folds": [{"train": names[8:], "validation": names[2:8]}]}
    with pytest.raises(PatientLeak, match="site s0 in both test and fold"):
        plan_splits(
            cases,
            TASKS[TaskKind.BINARY],
            TrainingSpec(),
            ProtocolSpec(preserve_sites=True, site_column="site", splits=tested),
        )
