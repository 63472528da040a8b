"""Heads measured on other cohorts, and asked about whole ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from slicebank.records.decode import JSON
from slicebank.records.predictions import Output


@dataclass(frozen=True, slots=True)
class EvaluationStarted:
    """An evaluation that was accepted; `leakage` counts the cases, and their patients, that the head has learnt from."""

    evaluation_id: str
    job_id: str
    head_id: str = ""
    n_cases: int = 0
    unmatched: tuple[str, ...] = ()
    leakage: JSON = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One head version measured on another cohort.

    Attributes:
        state: of its job.
        metrics: with `intervals`; empty until the job has succeeded.
        predictions: one object a unit of the labels; only in the answer about one evaluation.
    """

    evaluation_id: str
    head_id: str = ""
    job_id: str = ""
    name: str = ""
    state: str = ""
    n_cases: int = 0
    leakage: JSON = field(default_factory=dict)
    metrics: JSON = field(default_factory=dict)
    predictions: tuple[JSON, ...] = ()
    created_at: datetime | None = None
    finished_at: datetime | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HeadComparison:
    """Two head versions on the cases that both measured.

    Attributes:
        part: `pooled` (out-of-fold predictions) or `test`.
        left_out: measured cases that `first` or `second` alone has.
        metrics: by figure `{first, second, difference, interval, p_value, method}`; the difference is first minus second.
        labels: the same by label.
    """

    first: str
    second: str
    part: str = "pooled"
    n_units: int = 0
    n_patients: int = 0
    left_out: JSON = field(default_factory=dict)
    metrics: JSON = field(default_factory=dict)
    labels: JSON = field(default_factory=dict)
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CasePrediction:
    """What a head said of one case of a cohort, or why it said nothing.

    Attributes:
        case: its place in the cohort, from 0.
        in_training: whether the head has learnt from this patient.
        error: `code` and `detail`; empty where there is an answer, or none yet.
    """

    case: int
    state: str = ""
    series_uid: str | None = None
    study_uid: str | None = None
    bag_id: str | None = None
    prediction_id: str | None = None
    head_id: str | None = None
    job_id: str | None = None
    in_training: bool | None = None
    outputs: tuple[Output, ...] = ()
    error: JSON = field(default_factory=dict)
    raw: JSON = field(default_factory=dict, repr=False, compare=False)
