from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.heads.targets import Case, n_test_patients
from slicebank_models.training.cross_validation import split_cases, splits_as_dict


@st.composite
def labelled_cases(draw: st.DrawFn) -> list[Case]:
    width = draw(st.integers(1, 3))
    patients = draw(st.integers(4, 25))
    answer = st.none() | st.integers(0, 1)
    cases = [Case(at, f"p{at}", tuple(draw(answer) for _ in range(width))) for at in range(patients)]
    extra = draw(st.lists(st.integers(0, patients - 1), max_size=15))
    return cases + [
        Case(patients + at, f"p{p}", tuple(draw(answer) for _ in range(width))) for at, p in enumerate(extra)
    ]


@settings(deadline=None, max_examples=60)
@given(labelled_cases(), st.integers(2, 3), st.sampled_from([0.0, 0.2]), st.integers(0, 5))
def test_every_patient_is_on_one_side_and_in_one_fold(cases: list[Case], folds: int, share: float, seed: int) -> None:
    splits = split_cases(cases, folds=folds, test_fraction=share, seed=seed)
    assert splits == split_cases(cases, folds=folds, test_fraction=share, seed=seed)
    everything = set(range(len(cases)))
    test_patients = {cases[at].patient for at in splits.test}
    assert len(test_patients) > 0 or share == 0.0
    validated: list[int] = []
    for fold in splits.folds:
        assert set(fold.train) | set(fold.validation) | set(splits.test) == everything
        assert len(fold.train) + len(fold.validation) + len(splits.test) == len(cases)
        train, validation = ({cases[at].patient for at in part} for part in (fold.train, fold.validation))
        assert not train & validation
        assert not (train | validation) & test_patients
        assert fold.validation
        assert fold.train
        validated += fold.validation
    assert sorted(validated + list(splits.test)) == sorted(everything)


def test_one_case_a_patient_is_split_as_evenly_as_possible() -> None:
    cases = [Case(at, f"p{at}", (int(at < 30),)) for at in range(120)]
    splits = split_cases(cases, folds=5, test_fraction=0.2, seed=3)
    assert len(splits.test) == n_test_patients(120, 0.2) == 24
    assert sum(cases[at].target == (1,) for at in splits.test) == 6
    for fold in splits.folds:
        positives = sum(cases[at].target == (1,) for at in fold.validation)
        assert positives in (4, 5)
        assert 19 <= len(fold.validation) <= 20


def test_rare_labels_and_classes_spread_over_folds() -> None:
    generator = np.random.default_rng(0)
    multilabel = [Case(at, f"p{at}", (int(at < 10), int(generator.random() < 0.5))) for at in range(100)]
    for fold in split_cases(multilabel, folds=5, test_fraction=0.0, seed=0).folds:
        assert sum(multilabel[at].target[0] == 1 for at in fold.validation) == 2
    multiclass = [Case(at, f"p{at}", (at % 4,)) for at in range(40)]
    for fold in split_cases(multiclass, folds=5, test_fraction=0.0, seed=0).folds:
        assert Counter(multiclass[at].target for at in fold.validation) == {(answer,): 2 for answer in range(4)}


def test_seeds_give_different_splits_and_the_report_names_patients() -> None:
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(20)]
    first, second = (split_cases(cases, folds=4, test_fraction=0.2, seed=seed) for seed in (0, 1))
    assert first != second
    named = splits_as_dict(first, cases)
    assert len(named["test"]) == 4
    assert [len(fold["validation"]) for fold in named["folds"]] == [4, 4, 4, 4]
    assert sorted(named["test"] + named["folds"][0]["train"] + named["folds"][0]["validation"]) == sorted(
        case.patient for case in cases
    )
