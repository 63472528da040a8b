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
    check_cases,
    n_test_patients,
    read_label_table,
    resolve_targets,
)

CSV = "series_uid,lesion,effusion\n1.2,1,0\n1.3,0,\n1.4,yes,NA\n"
BINARY = TaskSpec(TaskKind.BINARY, ("lesion",))


def test_csv_and_rows_read_alike() -> None:
    rows = [
        {"series_uid": "1.2", "lesion": 1, "effusion": False},
        {"series_uid": "1.3", "lesion": "0", "effusion": None},
        {"series_uid": "1.4", "lesion": "yes"},
    ]
    task = TaskSpec(TaskKind.MULTILABEL)
    from_csv = resolve_targets(read_label_table(CSV), task)
    assert from_csv.task.labels == ("lesion", "effusion")
    assert from_csv.by_key == {"1.2": (1, 0), "1.3": (0, None), "1.4": (1, None)}
    assert resolve_targets(read_label_table(rows), task) == from_csv


def test_what_spreadsheets_write_is_read() -> None:
    table = read_label_table('\ufeffpatient,"a, b"\r\n"P 1",1\r\n\r\nP2,0\r\n')
    assert table.key is LabelKey.PATIENT
    assert table.columns == ("a, b",)
    assert table.rows == {"P 1": ("1",), "P2": ("0",)}


@pytest.mark.parametrize(
    "labels",
    [
        "",
        "\n\n",
        "lesion,series_uid\n1,2\n",
        "series_uid\n1.2\n",
        "series_uid,a\n",
        "series_uid,a,a\n1.2,0,1\n",
        "series_uid,\n1.2,0\n",
        "series_uid,a\n1.2\n",
        "series_uid,a\n1.2,0,1\n",
        "series_uid,a\n1.2,0\n1.2,1\n",
        "series_uid,a\n,0\n",
        'series_uid,a\n1.2,"0\n',
        "series_uid,a\n1.2," + "x" * 300 + "\n",
        [],
        [{"series_uid": "1", "a": 1}, {"series_uid": "2", "b": 1}],
        ["series_uid"],
    ],
)
def test_malformed_tables_are_refused(labels: str) -> None:
    with pytest.raises(MalformedLabels):
        read_label_table(labels)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80) | st.text(alphabet='series_uid,ab01"\n\r', max_size=80).map("series_uid,a\n".__add__))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(MalformedLabels, BadTask):
        resolve_targets(read_label_table(text), TaskSpec(TaskKind.MULTILABEL))


def test_labels_must_be_columns_and_values_answers() -> None:
    with pytest.raises(BadTask, match="nodule"):
        resolve_targets(read_label_table(CSV), TaskSpec(TaskKind.BINARY, ("nodule",)))
    with pytest.raises(BadTask, match="multilabel"):
        resolve_targets(read_label_table(CSV), TaskSpec(TaskKind.BINARY))
    with pytest.raises(MalformedLabels, match=r"lesion.*1\.2"):
        resolve_targets(read_label_table("series_uid,lesion\n1.2,perhaps\n"), BINARY)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [((), ("I", "II", "III")), (("stage",), ("I", "II", "III")), (("III", "II", "I"), ("III", "II", "I"))],
)
def test_multiclass_takes_classes_a_column_or_nothing(labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
    table = read_label_table("patient,stage\na,II\nb,I\nc,III\nd,\n")
    targets = resolve_targets(table, TaskSpec(TaskKind.MULTICLASS, labels))
    assert targets.task.labels == classes
    named = {key: None if index is None else classes[index] for key, (index,) in targets.by_key.items()}
    assert named == {"a": "II", "b": "I", "c": "III", "d": None}


def test_multiclass_refuses_strange_classes_and_several_columns() -> None:
    table = read_label_table("patient,stage\na,II\nb,IV\n")
    with pytest.raises(MalformedLabels, match="IV"):
        resolve_targets(table, TaskSpec(TaskKind.MULTICLASS, ("I", "II")))
    with pytest.raises(BadTask):
        resolve_targets(read_label_table(CSV), TaskSpec(TaskKind.MULTICLASS))


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
