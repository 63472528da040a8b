"""From a table of labels to checked targets. No torch here: a service refuses bad tables before any training starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from slicebank_models.errors import (
    BadTask,
    ClassWithoutCases,
    MalformedLabels,
    NoCases,
    OneClassOnly,
    TooFewPatients,
)
from slicebank_models.heads.label_values import MISSING, read_answer, read_number, read_survival, refuse_dates
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec

# One answer a label: 0, 1 or None (not known); for multiclass one entry, the class index or None; for regression one number
# or None a label; for survival the time and whether the event happened (1) or the case was censored then (0).
Target = tuple[float | None, ...]


class LabelKey(StrEnum):
    """What the first column of a labels table names."""

    SERIES_UID = "series_uid"
    STUDY_UID = "study_uid"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A labels table as text.

    Attributes:
        key: What `rows` are keyed by.
        columns: Names of the value columns.
        rows: Key -> one text a column.
    """

    key: LabelKey
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Targets:
    """A table resolved against a task: the task with its outputs' final names, and a target per key."""

    task: TaskSpec
    by_key: dict[str, Target]


@dataclass(frozen=True, slots=True)
class Case:
    """What is learned from at once: the rows of one bag, or of several laid end to end.

    Attributes:
        index: What the bag source knows the rows by.
        patient: Cases of one patient never fall on both sides of a split.
        target: Its answers.
        unit: What the label names: series, study or patient. Answers of several cases of one unit are averaged before they are
            measured; empty where the case is its own unit.
        site: Where the patient comes from; empty where not known.
    """

    index: int
    patient: str
    target: Target
    unit: str = ""
    site: str = ""


def resolve_targets(table: LabelTable, task: TaskSpec) -> Targets:
    """Turns texts into targets.

    Binary and multilabel: `task.labels` name columns (all columns when empty); values are 0 or 1, or empty where not
    known. Multiclass: one column of class names; `task.labels` lists the classes, or names the column, or is empty;
    in the last two cases the classes are the sorted names that occur. Regression: columns of numbers, as for multilabel.
    Survival: `task.labels` name the column of times and that of events; when empty, the table has just these two.

    Raises:
        BadTask: The task's labels are not in the table.
        MalformedLabels: A value that is no label; the message names the case by its place, the column and what to fix.
    """
    if task.kind is TaskKind.MULTICLASS:
        return _resolve_classes(table, task)
    labels = task.labels or table.columns
    if task.kind is TaskKind.SURVIVAL and len(labels) != 2:
        raise BadTask(
            "A survival task has two columns: times, and events (1) or censoring (0). Name them as the task's labels, "
            f"times first; the table has {', '.join(labels[:20])}."
        )
    if task.kind is TaskKind.BINARY and len(labels) != 1:
        raise BadTask(f"A binary task has one label; choose one of {', '.join(labels[:20])}, or use multilabel.")
    if absent := [label for label in labels if label not in table.columns]:
        raise BadTask(
            f"The labels table has no column {', '.join(absent[:20])}; it has {', '.join(table.columns[:20])}."
        )
    places = [table.columns.index(label) for label in labels]
    read = _target_reader(task.kind, tuple(labels))
    by_key = {
        key: read(number, tuple(values[place] for place in places))
        for number, (key, values) in enumerate(table.rows.items(), start=1)
    }
    return Targets(TaskSpec(task.kind, tuple(labels)), by_key)


def _target_reader(kind: TaskKind, columns: tuple[str, ...]) -> Callable[[int, tuple[str, ...]], Target]:
    """Returns what turns the number of a case and its cells into its target."""
    if kind is TaskKind.SURVIVAL:
        return lambda number, cells: read_survival(cells[0], cells[1], number, columns[0], columns[1])
    read = read_number if kind is TaskKind.REGRESSION else read_answer
    return lambda number, cells: tuple(read(cell, number, column) for cell, column in zip(cells, columns, strict=True))


def _resolve_classes(table: LabelTable, task: TaskSpec) -> Targets:
    named_column = len(task.labels) == 1 and task.labels[0] in table.columns
    if not named_column and len(table.columns) != 1:
        raise BadTask(
            "For a multiclass task send one column of class names, or name the column as the task's only label."
        )
    place = table.columns.index(task.labels[0]) if named_column else 0
    texts = {key: values[place] for key, values in table.rows.items()}
    known = {text for text in texts.values() if text.lower() not in MISSING}
    classes = tuple(sorted(known)) if named_column or not task.labels else task.labels
    if not task.labels or named_column:
        for number, text in enumerate(texts.values(), start=1):
            refuse_dates(text, number, table.columns[place])
    if strange := sorted(known - set(classes)):
        raise MalformedLabels(
            f"{strange[0][:64]!r} is no class of the task; its classes are {', '.join(classes[:20])}."
        )
    index = {name: number for number, name in enumerate(classes)}
    return Targets(TaskSpec(task.kind, classes), {key: (index.get(text),) for key, text in texts.items()})


def check_cases(cases: Sequence[Case], task: TaskSpec, training: TrainingSpec) -> tuple[str, ...]:
    """Refuses cases that cannot be trained and validated on, before any time is spent.

    Returns:
        Warnings about what will be weak.

    Raises:
        BadTask: The task's labels are not resolved.
        NoCases: No case has a known label.
        OneClassOnly: A label with one answer in all cases; no event at all.
        ClassWithoutCases: A class that no case has.
        TooFewPatients: Fewer patients than folds, or an answer that one patient alone has.
    """
    known = [case for case in cases if any(value is not None for value in case.target)]
    if not known:
        raise NoCases(
            "No case has a known label. Fill in the labels of stored series, or name the column that holds them."
        )
    if task.n_outputs < (2 if task.kind is TaskKind.MULTICLASS else 1):
        if task.kind is TaskKind.MULTICLASS:
            raise OneClassOnly("All cases are of one class; a multiclass task needs at least two.")
        raise BadTask("The task has no labels.")
    patients = {case.patient for case in known}
    held_out = n_test_patients(len(patients), training.test_fraction)
    if len(patients) - held_out < training.folds:
        raise TooFewPatients(
            f"{len(patients)} patients, {held_out} of them held out for testing, do not fill {training.folds} folds. "
            "Label more patients, or lower folds or test_fraction."
        )
    warnings = _check_numbers(known, task, training)
    if task.kind not in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        for name, answers in _patients_by_answer(known, task).items():
            _check_answers(name, answers, task)
            rarest = min(len(patients_with) for patients_with in answers.values())
            if rarest < training.folds:
                warnings.append(f"{name}: only {rarest} patients have its rarer answer; some folds cannot be measured.")
    if dropped := len(cases) - len(known):
        warnings.append(f"{dropped} cases without a known label are left out.")
    return tuple(warnings)


def _check_numbers(cases: Sequence[Case], task: TaskSpec, training: TrainingSpec) -> list[str]:
    """Refuses numbers and times that nothing can be learned from; returns warnings."""
    if task.kind is TaskKind.SURVIVAL:
        return _check_events(cases, task, training)
    warnings: list[str] = []
    if task.kind is not TaskKind.REGRESSION:
        return warnings
    for place, name in enumerate(task.labels):
        known = [(case.patient, case.target[place]) for case in cases if case.target[place] is not None]
        if len({value for _, value in known}) < 2:
            seen = "not known" if not known else format(known[0][1], "g")
            raise OneClassOnly(
                f"Label {name!r} is {seen} in every case; a head needs different numbers to learn from. "
                "Add cases, or leave the label out."
            )
        if (patients := len({patient for patient, _ in known})) < training.folds:
            warnings.append(f"{name}: only {patients} patients have a number; some folds cannot be measured.")
    return warnings


def _check_events(cases: Sequence[Case], task: TaskSpec, training: TrainingSpec) -> list[str]:
    _, name = task.labels
    with_event = {case.patient for case in cases if case.target[1] == 1}
    if not with_event:
        raise OneClassOnly(
            f"{name!r} is 0 in every case: all are censored, and nothing tells who comes to harm. Mark events with 1."
        )
    if len(with_event) < 2:
        raise TooFewPatients(f"Only one patient has an event ({name!r} = 1); training and validation each need one.")
    if len({case.target[0] for case in cases}) < 2:
        raise OneClassOnly("All times are the same; a survival task needs different ones to order cases by.")
    if len(with_event) < training.folds:
        return [f"{name}: only {len(with_event)} patients have an event; some folds cannot be measured."]
    return []


def n_test_patients(n_patients: int, test_fraction: float) -> int:
    """Returns how many patients are held out: the rounded share, at least one where a share is asked for."""
    return max(1, round(n_patients * test_fraction)) if test_fraction > 0 else 0


def _patients_by_answer(cases: Sequence[Case], task: TaskSpec) -> dict[str, dict[float, set[str]]]:
    """Returns label -> answer -> patients that have it; a multiclass task counts as one label."""
    names = ("class",) if task.kind is TaskKind.MULTICLASS else task.labels
    found: dict[str, dict[float, set[str]]] = {name: {} for name in names}
    for case in cases:
        for name, value in zip(names, case.target, strict=True):
            if value is not None:
                found[name].setdefault(value, set()).add(case.patient)
    return found


def _check_answers(name: str, answers: Mapping[float, set[str]], task: TaskSpec) -> None:
    multiclass = task.kind is TaskKind.MULTICLASS
    if len(answers) < 2:
        seen = "nothing" if not answers else str(next(iter(answers)))
        which = "All cases are of one class" if multiclass else f"Label {name!r} is {seen} in every case"
        raise OneClassOnly(f"{which}; a head needs cases of both kinds. Add cases, or leave the label out.")
    if multiclass and (absent := [task.labels[i] for i in range(task.n_outputs) if i not in answers]):
        raise ClassWithoutCases(f"No case is of class {', '.join(absent[:20])}; leave it out of the task's labels.")
    for answer, patients in answers.items():
        if len(patients) < 2:
            what = f"of class {task.labels[int(answer)]!r}" if multiclass else f"with {name!r} = {answer}"
            raise TooFewPatients(f"Only one patient has cases {what}; training and validation each need one.")
