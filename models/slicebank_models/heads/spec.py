"""What a head is asked to learn and how: task and training settings, read strictly. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from slicebank_models.errors import BadTask, BadTrainingValue, UnknownTrainingKey
from slicebank_models.heads.values import Range, flag, number

JSON = dict[str, Any]

MAX_LABELS = 1000  # bounds the output layer and the report; RadLex-sized label sets stay below
MAX_LABEL_LENGTH = 128


class TaskKind(StrEnum):
    """What the outputs mean."""

    BINARY = "binary"
    MULTILABEL = "multilabel"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    SURVIVAL = "survival"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task and the names of its outputs.

    Attributes:
        labels: Binary: the one label. Multilabel: the labels. Multiclass: the classes, in the order of the outputs.
            Regression: the columns of numbers. Survival: the column of times, then that of events. Before targets are resolved (`heads/targets.py`) it may be empty, or, for multiclass, name the one column
            that holds the classes.
    """

    kind: TaskKind
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise BadTask("Each label of a task may be named once.")
        if len(self.labels) > MAX_LABELS:
            raise BadTask(f"A task may have at most {MAX_LABELS} labels.")
        if any(not label.strip() or len(label) > MAX_LABEL_LENGTH for label in self.labels):
            raise BadTask(f"Labels must be 1 to {MAX_LABEL_LENGTH} characters.")
        if self.kind is TaskKind.BINARY and len(self.labels) > 1:
            raise BadTask("A binary task has one label; use multilabel for several.")
        if self.kind is TaskKind.SURVIVAL and len(self.labels) not in (0, 2):
            raise BadTask("A survival task names two columns: the one of times, then the one of events.")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the head's outputs: the labels, but for survival, whose one output is the risk and bears the name of the event."""
        return self.labels[1:] if self.kind is TaskKind.SURVIVAL else self.labels

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the head."""
        return len(self.outputs)

    def as_dict(self) -> JSON:
        """Returns the task as JSON-able values."""
        return {"kind": self.kind.value, "labels": list(self.labels)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "TaskSpec":
        """Reads `{"kind": ..., "labels": [...]}`; `labels` may be left out.

        Raises:
            BadTask: An unknown kind or key, or unusable labels.
        """
        if unknown := sorted(str(key) for key in set(values) - {"kind", "labels"}):
            raise BadTask(f"Unknown task key {', '.join(unknown)}; a task has kind and labels.")
        try:
            kind = TaskKind(values["kind"])
        except (KeyError, ValueError) as error:
            raise BadTask(f"The task's kind must be one of {', '.join(TaskKind)}.") from error
        labels = values.get("labels")
        if labels is None:
            return cls(kind)
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise BadTask("The task's labels must be a list of names.")
        return cls(kind, tuple(label.strip() for label in labels))


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """Training settings; the defaults are the paper's protocol (section 3.5 and its published code).

    Attributes:
        lr: Learning rate of AdamW.
        batch_size: Bags per optimiser step.
        max_epochs: Epochs at most.
        patience: Epochs without a lower validation loss after which a fold stops.
        weight_decay: Of AdamW.
        folds: Parts of the cross-validation, by patient.
        seed: Decides splits, initial weights, order, sampled rows and dropout.
        max_rows: Rows drawn from a longer bag at each training step; evaluation uses all rows.
        windows: Names of the windows whose rows are used; none means all.
        test_fraction: Share of patients held out of the cross-validation; 0 for none.
        class_weights: Whether rarer answers count more, so that every answer of a label has the same total weight.
    """

    lr: float = 1e-4
    batch_size: int = 128
    max_epochs: int = 32
    patience: int = 8
    weight_decay: float = 0.01
    folds: int = 5
    seed: int = 0
    max_rows: int = 512
    windows: tuple[str, ...] | None = None
    test_fraction: float = 0.2
    class_weights: bool = False

    def as_dict(self) -> JSON:
        """Returns the settings as JSON-able values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["windows"] = list(self.windows) if self.windows is not None else None
        return values

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None) -> "TrainingSpec":
        """Reads settings given by name; those left out keep their defaults.

        Raises:
            UnknownTrainingKey: A key that is no setting.
            BadTrainingValue: A value of the wrong type or out of range.
        """
        given = dict(values or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(str(key) for key in set(given) - set(known)):
            raise UnknownTrainingKey(f"Unknown training key {', '.join(unknown)}; known are {', '.join(known)}.")
        read: JSON = {name: number(name, value, _RANGES[name]) for name, value in given.items() if name in _RANGES}
        if given.get("windows") is not None:
            read["windows"] = _names(given["windows"])
        if "class_weights" in given:
            read["class_weights"] = flag("class_weights", given["class_weights"])
        return replace(cls(), **read)


# The upper ends bound a job's time and memory, not its usefulness.
_RANGES: Mapping[str, Range] = {
    "lr": Range(False, 1e-8, 1.0),
    "batch_size": Range(True, 1, 4096),
    "max_epochs": Range(True, 1, 10_000),
    "patience": Range(True, 1, 10_000),
    "weight_decay": Range(False, 0.0, 10.0),
    "folds": Range(True, 2, 20),
    "seed": Range(True, 0, 2**31 - 1),
    "max_rows": Range(True, 1, 65_536),
    "test_fraction": Range(False, 0.0, 0.9),
}


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise BadTrainingValue("windows must be a list of window names, or left out for all.")
