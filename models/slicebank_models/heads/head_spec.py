"""Which head is trained: its architecture and sizes, read strictly. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import BadTrainingValue, UnknownTrainingKey
from slicebank_models.heads.spec import TaskKind
from slicebank_models.heads.values import Range, choice, number

JSON = dict[str, Any]


class Architecture(StrEnum):
    """How rows become an answer."""

    ABMIL = "abmil"
    GATED_ABMIL = "gated_abmil"
    MULTIBRANCH_ABMIL = "multibranch_abmil"
    CLAM_SB = "clam_sb"
    CLAM_MB = "clam_mb"
    TRANSMIL = "transmil"
    MEAN = "mean"
    MAX = "max"
    LINEAR = "linear"
    MLP = "mlp"


SCAN_ARCHITECTURES = (Architecture.MLP, Architecture.LINEAR)
CLAM = (Architecture.CLAM_SB, Architecture.CLAM_MB)
CLASSIFYING = (TaskKind.BINARY, TaskKind.MULTILABEL, TaskKind.MULTICLASS)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A head; the defaults are the published one (CLEAR, eq. 3, and its published code).

    Attributes:
        architecture: ABMIL where rows are slices. Bags of one row a scan take `mlp`, the published head without attention, or
            `linear`; for them `abmil` means `mlp`.
        width: Of the hidden layers.
        dropout: Probability in the classifier, and wherever else the architecture drops out.
        instance_weight: CLAM: share of the loss that its instance clusters have; the bag has the rest.
        instances: CLAM: rows at either end of the attention that are clustered.
    """

    architecture: Architecture = Architecture.ABMIL
    width: int = 256
    dropout: float = 0.5
    instance_weight: float = 0.3
    instances: int = 8

    def as_dict(self) -> JSON:
        """Returns the settings as JSON-able values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "architecture": self.architecture.value}

    def resolved(self, level: EncoderLevel, kind: TaskKind) -> "HeadSpec":
        """Returns the head that is really built: `abmil` on bags of one row a scan is `mlp`.

        Raises:
            BadTrainingValue: The architecture does not read such rows, or cannot learn such a task.
        """
        asked = self.architecture
        if level is EncoderLevel.SCAN:
            if asked is Architecture.ABMIL:
                return replace(self, architecture=Architecture.MLP)
            if asked not in SCAN_ARCHITECTURES:
                raise BadTrainingValue(
                    f"head.architecture {asked} pools rows, and this encoder gives one row a scan; use mlp or linear."
                )
        elif asked in SCAN_ARCHITECTURES:
            raise BadTrainingValue(
                f"head.architecture {asked} reads one row a scan, and this encoder gives one row a slice; "
                f"use {', '.join(name for name in Architecture if name not in SCAN_ARCHITECTURES)}."
            )
        if asked in CLAM and kind not in CLASSIFYING:
            raise BadTrainingValue(
                f"head.architecture {asked} clusters rows by the class of their bag, which a {kind} task has not; "
                "use abmil, gated_abmil or transmil."
            )
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None) -> "HeadSpec":
        """Reads settings given by name; those left out keep their defaults.

        Raises:
            UnknownTrainingKey: A key that is no setting.
            BadTrainingValue: A value of the wrong type or out of range.
        """
        given = dict(values or {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(str(key) for key in set(given) - set(known)):
            raise UnknownTrainingKey(f"Unknown head key {', '.join(unknown)}; known are {', '.join(known)}.")
        read: JSON = {
            name: number(f"head.{name}", value, _RANGES[name]) for name, value in given.items() if name in _RANGES
        }
        if "architecture" in given:
            read["architecture"] = choice("head.architecture", given["architecture"], Architecture)
        return replace(cls(), **read)


_RANGES: Mapping[str, Range] = {
    "width": Range(True, 8, 4096),
    "dropout": Range(False, 0.0, 0.95),
    "instance_weight": Range(False, 0.0, 1.0),
    "instances": Range(True, 1, 256),
}
