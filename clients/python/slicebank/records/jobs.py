"""Jobs as the server tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from slicebank.records.decode import JSON

# Less than this, over a whole job, nobody would feel.
WAIT_FLOOR_S = 0.05


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
    """One piece of work; `result` is filled when it has succeeded (bag_id, head_id, prediction_id or series).

    Attributes:
        stages: seconds by stage. `decode_s` and `transform_s` add up what all decoding threads spent on the job, so they
            may exceed the time it took; `encode_s` is its share of the encoder's time; `decode_wait_s` and
            `encode_wait_s` are how long it stood still for want of decoded slices, and of the encoder.
    """

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

    @property
    def bound_by(self) -> Literal["decode", "encoder"] | None:
        """What held the job back, see `bound_by`."""
        return bound_by(self.stages)


def bound_by(stages: JSON) -> Literal["decode", "encoder"] | None:
    """What an embed job waited for longest: decoded slices or the encoder.

    Args:
        stages: seconds by stage; those that are missing or no numbers count as 0.

    Returns:
        None when it waited for neither, 0.05 s in all at most.
    """
    decoding, encoding = stage_seconds(stages, "decode_wait_s"), stage_seconds(stages, "encode_wait_s")
    if decoding + encoding <= WAIT_FLOOR_S:
        return None
    return "decode" if decoding > encoding else "encoder"


def stage_seconds(stages: JSON, name: str) -> float:
    """Seconds of one stage; 0 when it is missing or no number."""
    value = stages.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
