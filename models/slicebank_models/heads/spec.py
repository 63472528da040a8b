"""What a head is asked to learn and how: task and training settings, read strictly. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from slicebank_models.errors import BadTask, BadTrainingValue, UnknownTrainingKey

JSON = dict[str, Any]

MAX_LABELS = 1000  # bounds the output layer and the report; RadLex-sized label sets stay below
MAX_LABEL_LENGTH = 128


class TaskKind(StrEnum):
    """What the outputs mean."""

    BINARY = "binary"
    MULTILABEL = "multilabel"
    MULTICLASS = "multiclass"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task and the names of its outputs.

    Attributes:
        labels: Binary: the one label. Multilabel: the labels. Multiclass: the classes, in the order of the outputs.
            Before targets are resolved (`heads/targets.py`) it may be empty, or, for multiclass, name the one column
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

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the head."""
        return len(self.labels)

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
        read: JSON = {name: _number(name, value) for name, value in given.items() if name != "windows"}
        if given.get("windows") is not None:
            read["windows"] = _names(given["windows"])
        return replace(cls(), **read)


# Name -> (whole numbers only, lowest, highest). The upper ends bound a job's time and memory, not its usefulness.
_RANGES: Mapping[str, tuple[bool, float, float]] = {
    "lr": (False, 1e-8, 1.0),
    "batch_size": (True, 1, 4096),
    "max_epochs": (True, 1, 10_000),
    "patience": (True, 1, 10_000),
    "weight_decay": (False, 0.0, 10.0),
    "folds": (True, 2, 20),
    "seed": (True, 0, 2**31 - 1),
    "max_rows": (True, 1, 65_536),
    "test_fraction": (False, 0.0, 0.9),
}


def _number(name: str, value: object) -> float | int:
    whole, lowest, highest = _RANGES[name]
    wanted = f"{name} must be a {'whole ' if whole else ''}number from {lowest:g} to {highest:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTrainingValue(f"{wanted}, not {_shown(value)}.")
    # The range comes first: it refuses NaN and infinity, and compares whole numbers that no float can hold.
    if not lowest <= value <= highest or (whole and value != int(value)):
        raise BadTrainingValue(f"{wanted}, not {_shown(value)}.")
    return int(value) if whole else float(value)


def _shown(value: object) -> str:
    # Lists and objects may be as large and as deep as a request may be.
    return repr(value)[:40] if value is None or isinstance(value, str | int | float) else type(value).__name__


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise BadTrainingValue("windows must be a list of window names, or left out for all.")
