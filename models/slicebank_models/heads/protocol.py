"""How a head is judged: splits, repeats, pooling of several bags, calibration; read strictly. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from slicebank_models.errors import BadTrainingValue, UnknownTrainingKey
from slicebank_models.heads.values import Range, choice, flag, number

JSON = dict[str, Any]


class Validation(StrEnum):
    """What early stopping looks at.

    CROSS_VALIDATION stops each fold on the part that it is then measured on, as the paper's tasks 1 and 2; NESTED stops on an
    inner part of the fold's own training patients, so that the measured part has decided nothing (task 3).
    """

    CROSS_VALIDATION = "cross_validation"
    NESTED = "nested"


class Pooling(StrEnum):
    """What several series of what a label names become.

    LARGEST takes of each study the series with the most slices, and averages the answers of a patient's studies; MEAN takes every
    series and averages their answers; ONE_BAG lays the rows of every series end to end in one bag.
    """

    LARGEST = "largest"
    MEAN = "mean"
    ONE_BAG = "one_bag"


class Calibration(StrEnum):
    """What is fitted on out-of-fold predictions, so that served probabilities are rates."""

    NONE = "none"
    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """The protocol beside `TrainingSpec`'s folds, test_fraction and seed.

    Attributes:
        validation: What early stopping looks at.
        repeats: Cross-validations, each with a seed and splits of its own; all their folds are served together.
        stratify: Whether folds are as even in every answer as patients allow.
        preserve_sites: Whether all patients of a site stay on one side of every split.
        site_column: Column of the labels table that names sites; empty for none.
        pooling: What several series of what a label names become.
        calibration: Of binary, multilabel and multiclass tasks.
        bootstrap: Resamplings of patients for 95 % intervals; 0 for none.
        splits: Splits to use instead of new ones: ours (`GET /heads/{id}/splits.json`) or STAMP's `splits.json`.
    """

    validation: Validation = Validation.CROSS_VALIDATION
    repeats: int = 1
    stratify: bool = True
    preserve_sites: bool = False
    site_column: str = ""
    pooling: Pooling = Pooling.LARGEST
    calibration: Calibration = Calibration.TEMPERATURE
    bootstrap: int = 1000
    splits: JSON | None = None

    def as_dict(self) -> JSON:
        """Returns the settings as JSON-able values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None) -> "ProtocolSpec":
        """Reads settings given by name; those left out keep their defaults.

        Raises:
            UnknownTrainingKey: A key that is no setting.
            BadTrainingValue: A value of the wrong type or out of range, or settings that do not go together.
        """
        given = dict(values or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(str(key) for key in set(given) - set(known)):
            raise UnknownTrainingKey(f"Unknown protocol key {', '.join(unknown)}; known are {', '.join(known)}.")
        read: JSON = {name: _READERS[name](f"protocol.{name}", value) for name, value in given.items()}
        spec = replace(cls(), **read)
        if spec.preserve_sites and not spec.site_column:
            raise BadTrainingValue(
                "protocol.preserve_sites needs protocol.site_column, the column that names the sites."
            )
        return spec


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 128 or not value.isprintable():
        raise BadTrainingValue(f"{name} must be the name of a column.")
    return value.strip()


def _splits(name: str, value: object) -> JSON | None:
    if value is None or isinstance(value, dict):
        return value
    raise BadTrainingValue(f"{name} must be the object that splits.json holds.")


_READERS: Mapping[str, Any] = {
    "validation": lambda name, value: choice(name, value, Validation),
    "repeats": lambda name, value: number(name, value, Range(True, 1, 50)),
    "stratify": flag,
    "preserve_sites": flag,
    "site_column": _text,
    "pooling": lambda name, value: choice(name, value, Pooling),
    "calibration": lambda name, value: choice(name, value, Calibration),
    "bootstrap": lambda name, value: number(name, value, Range(True, 0, 100_000)),
    "splits": _splits,
}
