"""Jobs as the server tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from slicebank.records.decode import JSON


class JobState(StrEnum):
    """Where a job is on its way; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job will not move any more by itself."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in `unit` (slices, folds, ...); a total of 0 is not known yet."""

    done: int = 0
    total: int = 0
    unit: str = ""

    @property
    def fraction(self) -> float:
        """Share done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: a stable code and a sentence."""

    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work; `result` is filled when it has succeeded (bag_id, head_id, prediction_id or series)."""

    job_id: str
    kind: str
    state: JobState
    progress: Progress = field(default_factory=Progress)
    queue_position: int | None = None
    eta_seconds: float | None = None
    attempts: int = 0
    stages: JSON = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: JobFailure | None = None
    result: JSON = field(default_factory=dict)
    series_uid: str | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def final(self) -> bool:
        """Whether the job will not move any more by itself."""
        return self.state.final
