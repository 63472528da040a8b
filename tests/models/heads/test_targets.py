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


REGRESSION = TaskSpec(TaskKind.REGRESSION, ("age",))
SURVIVAL = TaskSpec(TaskKind.SURVIVAL, ("days", "death"))


def test_numbers_and_gaps() -> None:
    found = resolve_targets(
        table("patient,age,volume\na,61,1e-3\nb, 40.5 ,nan\nc,-2,NA\n"), TaskSpec(TaskKind.REGRESSION)
    )
    assert found.task.labels == ("age", "volume")
    assert found.by_key == {"a": (61, 0.001), "b": (40.5, None), "c": (-2, None)}


def test_times_and_events() -> None:
    text = "patient,death,days,age\na,1,30.5,61\nb,no,90,40\nc,,NaN,1\n"
    assert resolve_targets(table(text), SURVIVAL).by_key == {"a": (30.5, 1), "b": (90, 0), "c": (None, None)}
    two = table("patient,days,death\na,30,1\n")
    found = resolve_targets(two, TaskSpec(TaskKind.SURVIVAL))
    assert (found.task.labels, found.task.outputs) == (("days", "death"), ("death",))
    with pytest.raises(BadTask, match=r"two columns.*death, days, age"):
        resolve_targets(table(text), TaskSpec(TaskKind.SURVIVAL))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1;5", "plain number"),
        ("1.234;5", "decimal point"),
        ("1;234", "decimal point"),
        ("12 mm", "without a unit"),
        ("inf", "plain number"),
        ("1e300", "plain number"),
        ("1_000", "plain number"),
        ("٣", "plain number"),
        ("2021-03-01", "Spreadsheets turn"),
        ("01.03.2021", "Spreadsheets turn"),
        ("3/1/21", "Spreadsheets turn"),
        ("01-Feb", "Spreadsheets turn"),
        ("Feb 24", "Spreadsheets turn"),
        ("2021-03-01 00:00:00", "Spreadsheets turn"),
    ],
)
def test_what_is_no_number_is_named_with_what_to_do(value: str, sentence: str) -> None:
    text = value.replace(";", ",") if sentence == "decimal point" else value
    rows = {"a": ("61",), "b": (text,)}
    with pytest.raises(MalformedLabels, match=rf"'age' of case 2.*{sentence}"):
        resolve_targets(LabelTable(LabelKey.PATIENT, ("age",), rows), REGRESSION)


@pytest.mark.parametrize(
    ("days", "death", "sentence"),
    [
        ("0", "1", "'days' of case 1 is '0'.*above 0"),
        ("-3", "0", "above 0"),
        ("30", "2", "'death' of case 1 is '2'; use 1, 0"),
        ("30", "", "has 'days' and no 'death'; give both, or neither"),
        ("nan", "1", "has 'death' and no 'days'"),
        ("12,5", "1", "decimal point"),
    ],
)
def test_survival_that_cannot_be_is_named(days: str, death: str, sentence: str) -> None:
    with pytest.raises(MalformedLabels, match=sentence):
        resolve_targets(LabelTable(LabelKey.PATIENT, ("days", "death"), {"a": (days, death)}), SURVIVAL)


def test_dates_are_no_answers_and_no_classes_unless_the_task_lists_them() -> None:
    with pytest.raises(MalformedLabels, match=r"'lesion' of case 1 is the date"):
        resolve_targets(table("patient,lesion\na,2021-03-01\n"), BINARY)
    grades = table("patient,grade\na,01-Feb\nb,II\n")
    with pytest.raises(MalformedLabels, match=r"'grade' of case 1 is the date"):
        resolve_targets(grades, TaskSpec(TaskKind.MULTICLASS))
    assert resolve_targets(grades, TaskSpec(TaskKind.MULTICLASS, ("01-Feb", "II"))).by_key == {"a": (0,), "b": (1,)}


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


def numbers(*targets: tuple[float | None, ...]) -> list[Case]:
    return [Case(at, f"p{at}", target) for at, target in enumerate(targets)]


@pytest.mark.parametrize(
    ("found", "task", "error", "sentence"),
    [
        (numbers((1.0,), (1.0,), (1.0,)), REGRESSION, OneClassOnly, "'age' is 1 in every case"),
        (
            numbers((1.0, None), (2.0, None)),
            TaskSpec(TaskKind.REGRESSION, ("age", "b")),
            OneClassOnly,
            "'b' is not known",
        ),
        (numbers((1.0,)), REGRESSION, TooFewPatients, "1 patients"),
        (numbers((None,), (None,)), REGRESSION, NoCases, "Fill in"),
        (numbers((30.0, 0), (40.0, 0), (50.0, 0)), SURVIVAL, OneClassOnly, "all are censored"),
        (numbers((30.0, 1), (40.0, 0), (50.0, 0)), SURVIVAL, TooFewPatients, "Only one patient has an event"),
        (numbers((30.0, 1), (30.0, 1), (30.0, 0)), SURVIVAL, OneClassOnly, "All times are the same"),
        (numbers((None, None)), SURVIVAL, NoCases, "No case"),
    ],
)
def test_numbers_that_cannot_be_learned_are_refused(
    found: list[Case], task: TaskSpec, error: type[ModelsError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        check_cases(found, task, TRAINING)


def test_numbers_that_can_be_learned_pass_and_weak_ones_are_mentioned() -> None:
    assert check_cases(numbers((1.0,), (2.0,)), REGRESSION, TRAINING) == ()
    events = numbers((30.0, 1), (40.0, 1), (50.0, 0), (60.0, 0))
    assert check_cases(events, SURVIVAL, TRAINING) == ()
    (weak,) = check_cases(events, SURVIVAL, TrainingSpec(folds=3, test_fraction=0))
    assert "only 2 patients have an event" in weak
    several = [Case(at, f"p{at}", (float(at), float(at) if at < 2 else None)) for at in range(4)]
    (weak,) = check_cases(several, TaskSpec(TaskKind.REGRESSION, ("age", "b")), TrainingSpec(folds=3, test_fraction=0))
    assert "b: only 2 patients have a number" in weak


def test_a_multilabel_task_names_the_label_that_cannot_be_learned() -> None:
    found = [Case(at, f"p{at}", (at % 2, 1)) for at in range(6)]
    with pytest.raises(OneClassOnly, match="effusion"):
        check_cases(found, TaskSpec(TaskKind.MULTILABEL, ("lesion", "effusion")), TRAINING)


def test_the_held_out_share() -> None:
    assert [n_test_patients(10, fraction) for fraction in (0.0, 0.01, 0.2, 0.25)] == [0, 1, 2, 2]
    with pytest.raises(TooFewPatients, match="held out"):
        check_cases(cases(0, 1, 0, 1, 0, 1), BINARY, TrainingSpec(folds=5, test_fraction=0.3))
