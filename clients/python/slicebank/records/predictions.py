"""Predictions with the attention that drove them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Output:
    """The answer for one label.

    Attributes:
        probability: 0 to 1; None of a regression or survival task.
        logit: log-odds of it.
        fold_std: standard deviation over the folds.
        value: of a regression; of a survival task the risk, a log hazard ratio.
        raw_probability: before calibration.
        calibrated: whether `probability` is calibrated.
    """

    label: str
    probability: float | None = None
    logit: float | None = None
    fold_std: float | None = None
    value: float | None = None
    raw_probability: float | None = None
    calibrated: bool = False

    @property
    def figure(self) -> float | None:
        """What the task gives: a probability, a number or a risk."""
        return self.value if self.probability is None else self.probability


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """Attention on one row; `slice_index` is 0-based from inferior, `z_mm` along the slice normal."""

    row: int
    slice_index: int
    weight: float
    window: str | int | None = None
    sop_instance_uid: str | None = None
    instance_number: int | None = None
    z_mm: float | None = None
    logit: float | None = None
    percentile: float | None = None
    series_uid: str | None = None


@dataclass(frozen=True, slots=True)
class AttentionSlice:
    """Attention on one slice, summed over its windows; rank 1 has the most."""

    slice_index: int
    weight: float
    rank: int
    sop_instance_uid: str | None = None
    percentile: float | None = None
    series_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Attention:
    """Weights of all rows, which sum to 1, and the same per slice."""

    rows: tuple[AttentionRow, ...] = ()
    slices: tuple[AttentionSlice, ...] = ()

    def __iter__(self) -> Iterator[AttentionRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, n: int = 5) -> tuple[AttentionSlice, ...]:
        """The n slices with the most attention, most first."""
        return tuple(sorted(self.slices, key=lambda item: item.rank))[:n]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one head for one bag; iterating gives the outputs."""

    prediction_id: str
    head_id: str
    bag_id: str
    outputs: tuple[Output, ...] = ()
    attention: Attention = field(default_factory=Attention)
    series_uid: str | None = None
    study_uid: str | None = None
    rule: str | None = None
    in_training: bool | None = None
    series: tuple[JSON, ...] = ()
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Output]:
        return iter(self.outputs)


@dataclass(frozen=True, slots=True)
class PushedObject:
    """An object that a PACS has taken; kind is `sr` or `sc`."""

    kind: str
    series_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent to a PACS, and into which study."""

    pacs: str
    study_uid: str
    objects: tuple[PushedObject, ...] = ()
    raw: JSON = field(default_factory=dict, repr=False, compare=False)
