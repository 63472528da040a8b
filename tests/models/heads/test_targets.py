import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.errors import (
    BadTask,
    ClassWithoutCases,
    MalformedLabels,
    ModelsError,
    NoCases,
    OneClassOnly,
    TooFewPatients,
)
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import (
    Case,
    LabelKey,
    LabelTable,
    check_cases,
    n_test_patients,
    resolve_targets,
)

CSV = "series_uid,lesion,effusion\n1.2,1,0\n1.3,0,\n1.4,yes,NA\n"
BINARY = TaskSpec(TaskKind.BINARY, ("lesion",))


def table(text: str) -> LabelTable:
    (key, *columns), *rows = (line.split(",") for line in text.splitlines())
    return LabelTable(LabelKey(key), tuple(columns), {row[0]: tuple(row[1:]) for row in rows})


def test_answers_and_gaps() -> None:
    targets = resolve_targets(table(CSV), TaskSpec(TaskKind.MULTILABEL))
    assert targets.task.labels == ("lesion", "effusion")
    assert targets.by_key == {"1.2": (1, 0), "1.3": (0, None), "1.4": (1, None)}


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_no_value_raises_anything_else(values: list[str]) -> None:
    rows = {str(number): (value,) for number, value in enumerate(values)}
    with contextlib.suppress(MalformedLabels, BadTask):
        resolve_targets(LabelTable(LabelKey.SERIES_UID, ("a",), rows), TaskSpec(TaskKind.MULTILABEL))


def test_labels_must_be_columns_and_values_answers() -> None:
    with pytest.raises(BadTask, match="nodule"):
        resolve_targets(table(CSV), TaskSpec(TaskKind.BINARY, ("nodule",)))
    with pytest.raises(BadTask, match="multilabel"):
        resolve_targets(table(CSV), TaskSpec(TaskKind.BINARY))
    with pytest.raises(MalformedLabels, match=r"lesion.*case 1"):
        resolve_targets(table("series_uid,lesion\n1.2,perhaps\n"), BINARY)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [((), ("I", "II", "III")), (("stage",), ("I", "II", "III")), (("III", "II", "I"), ("III", "II", "I"))],
)
def test_multiclass_takes_classes_a_column_or_nothing(labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
    stages = table("patient,stage\na,II\nb,I\nc,III\nd,\n")
    targets = resolve_targets(stages, TaskSpec(TaskKind.MULTICLASS, labels))
    assert targets.task.labels == classes
    named = {key: None if index is None else classes[index] for key, (index,) in targets.by_key.items()}
    assert named == {"a": "II", "b": "I", "c": "III", "d": None}


def test_multiclass_refuses_strange_classes_and_several_columns() -> None:
    stages = table("patient,stage\na,II\nb,IV\n")
    with pytest.raises(MalformedLabels, match="IV"):
        resolve_targets(stages, TaskSpec(TaskKind.MULTICLASS, ("I", "II")))
    with pytest.raises(BadTask):
        resolve_targets(table(CSV), TaskSpec(TaskKind.MULTICLASS))


def cases(*answers: int | None, patients: int | None = None) -> list[Case]:
    return [Case(at, f"p{at % (patients or len(answers))}", (answer,)) for at, answer in enumerate(answers)]


TRAINING = TrainingSpec(folds=2, test_fraction=0.0)


def test_good_cases_pass_and_unknown_ones_are_mentioned() -> None:
    assert check_cases(cases(0, 1, 0, 1), BINARY, TRAINING) == ()
    assert any("left out" in warning for warning in check_cases(cases(0, 1, 0, 1, None), BINARY, TRAINING))
    assert any("lesion" in w for w in check_cases(cases(0, 1, 0, 1, 0), BINARY, TrainingSpec(folds=3, test_fraction=0)))


@pytest.mark.parametrize(
    ("found", "task", "error"),
    [
        ([], BINARY, NoCases),
        (cases(None, None), BINARY, NoCases),
        (cases(1, 1, 1, 1), BINARY, OneClassOnly),
        (cases(1, 0), TaskSpec(TaskKind.BINARY), BadTask),
        (cases(0, 0), TaskSpec(TaskKind.MULTICLASS, ("a",)), OneClassOnly),
        (cases(0, 0, 0), TaskSpec(TaskKind.MULTICLASS, ("a", "b")), OneClassOnly),
        (cases(0, 1, 0, 1), TaskSpec(TaskKind.MULTICLASS, ("a", "b", "c")), ClassWithoutCases),
        (cases(0, 1, 0, 1, patients=1), BINARY, TooFewPatients),
        (cases(0, 0, 0, 1), BINARY, TooFewPatients),
    ],
)
def test_what_cannot_be_trained_is_refused(found: list[Case], task: TaskSpec, error: type[ModelsError]) -> None:
    with pytest.raises(error):
        check_cases(found, task, TRAINING)


def test_a_multilabel_task_names_the_label_that_cannot_be_learned() -> None:
    found = [Case(at, f"p{at}", (at % 2, 1)) for at in range(6)]
    with pytest.raises(OneClassOnly, match="effusion"):
        check_cases(found, TaskSpec(TaskKind.MULTILABEL, ("lesion", "effusion")), TRAINING)


def test_the_held_out_share() -> None:
    assert [n_test_patients(10, fraction) for fraction in (0.0, 0.01, 0.2, 0.25)] == [0, 1, 2, 2]
    with pytest.raises(TooFewPatients, match="held out"):
        check_cases(cases(0, 1, 0, 1, 0, 1), BINARY, TrainingSpec(folds=5, test_fraction=0.3))
