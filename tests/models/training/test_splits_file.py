import json
from typing import Any

import pytest
from pydantic import BaseModel

from slicebank_models.errors import BadSplits, PatientLeak
from slicebank_models.heads.spec import TrainingSpec
from slicebank_models.training.splits_file import (
    as_given,
    check_given,
    read_splits,
    rename_patients,
    with_stamp_layout,
)

OURS: dict[str, Any] = {
    "test": ["t"],
    "folds": [
        {"repeat": 0, "train": ["a", "b"], "validation": ["c"], "stopping": ["d"]},
        {"repeat": 0, "train": ["c", "d"], "validation": ["a", "b"]},
    ],
}


class StampSplit(BaseModel):
    """As STAMP 2.5 declares a split (`stamp.modeling.crossval`)."""

    train_patients: set[str]
    test_patients: set[str]


class StampSplits(BaseModel):
    splits: list[StampSplit]


def test_what_we_write_is_read_by_stamp_and_by_us() -> None:
    written = json.dumps(with_stamp_layout(OURS))
    stamp = StampSplits.model_validate_json(written)
    assert [(s.train_patients, s.test_patients) for s in stamp.splits] == [
        ({"a", "b", "d"}, {"c"}),
        ({"c", "d"}, {"a", "b"}),
    ]
    assert read_splits(json.loads(written)) == read_splits(OURS)


def test_stamps_own_file_is_read() -> None:
    given = read_splits({"splits": [{"train_patients": ["1", 2, "1"], "test_patients": [3]}]})
    (fold,) = given.folds
    assert (fold.train, fold.validation, fold.stopping, fold.repeat) == (("1", "2"), ("3",), (), 0)
    assert given.patients == {"1", "2", "3"}


def test_patients_are_renamed_everywhere() -> None:
    renamed = rename_patients(OURS, str.upper)
    assert renamed["test"] == ["T"]
    assert renamed["folds"][0] == {"repeat": 0, "train": ["A", "B"], "validation": ["C"], "stopping": ["D"]}
    assert "stopping" not in renamed["folds"][1]
    with pytest.raises(PatientLeak):
        rename_patients(OURS, lambda _: "one and the same") and read_splits(rename_patients(OURS, lambda _: "same"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train": ["a", "c"]}, "Patient c of the given splits: on both sides of fold 0"),
        ({"train": ["a", "d"]}, "Patient d of the given splits: learnt from and stopped on in fold 0"),
        ({"stopping": ["c"]}, "Patient c of the given splits: measured and stopped on in fold 0"),
        ({"validation": ["t"]}, "Patient t of the given splits: in the test part and in fold 0"),
        ({"train": list("abcefghi"), "validation": list("abcefghi")}, "Patient a, b, c, e, f and 3 more of"),
    ],
)
def test_a_patient_on_two_sides_is_named(change: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(PatientLeak, match=sentence):
        read_splits({**OURS, "folds": [{**OURS["folds"][0], **change}]})


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        ({}, "neither"),
        ({"folds": {}}, "neither"),
        ({"folds": []}, "0 folds"),
        ({"folds": [7]}, "Fold 0 of the splits is no object"),
        ({"folds": [{"train": ["a"]}]}, "has no validation"),
        ({"splits": [{}]}, "no train_patients and no test_patients"),
        ({"folds": [{"train": "a", "validation": ["b"]}]}, "train of fold 0 of the splits must be a list"),
        ({"folds": [{"train": ["a"], "validation": [None]}]}, "validation of fold 0"),
        ({"folds": [{"train": ["a"], "validation": [True]}]}, "validation of fold 0"),
        ({"folds": [{"train": ["a"], "validation": ["b"], "repeat": -1}]}, "repeat of fold 0"),
        ({"folds": [{"train": ["a"], "validation": ["b"]}], "test": 3}, "test of the splits"),
        ({"folds": [{"train": ["a"], "validation": ["b"]}] * 1001}, "1001 folds"),
    ],
)
def test_what_is_no_splits_file_is_said(splits: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSplits, match=sentence):
        read_splits(splits)


def test_given_splits_are_checked_against_the_labelled_patients() -> None:
    assert check_given(OURS, ["a", "b", "c", "d", "t"]) == ()
    assert check_given(OURS, ["a", "b", "c", "x", "y"]) == (
        "2 patients of the given splits have no labelled bag and are left out of them.",
        "2 labelled patients are in no part of the given splits and are left out.",
    )
    with pytest.raises(BadSplits, match="Fold 0 of the given splits leaves no labelled patient to measure"):
        check_given(OURS, ["a", "b"])


def test_settings_take_folds_from_given_splits() -> None:
    training = TrainingSpec(folds=9, test_fraction=0.5)
    assert as_given(training, None) is training
    taken = as_given(training, {"folds": [*OURS["folds"], {**OURS["folds"][0], "repeat": 1}]})
    assert (taken.folds, taken.test_fraction) == (2, 0.0)
