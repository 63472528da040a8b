"""A job as the REST interface shows it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.times import iso, iso_or_none
from slicebank_service.standing import Place
from slicebank_store.catalogue import JobRecord
from slicebank_store.types import JobState


class Progress(BaseModel):
    """How far a job is."""

    done: int
    total: int | None
    unit: str | None


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    detail: str


class JobView(BaseModel):
    """A job."""

    job_id: str
    kind: str
    state: str
    priority: str
    series_uid: str | None
    study_uid: str | None
    bag_id: str | None
    head_id: str | None
    prediction_id: str | None
    waits_for: str | None
    progress: Progress
    queue_position: int | None
    eta_seconds: float | None
    attempts: int
    stages: dict[str, float]
    cancel_requested: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: JobError | None
    result: dict[str, Any] | None


class JobPage(BaseModel):
    """One page of jobs."""

    items: list[JobView]
    next_cursor: str | None


def job_view(job: JobRecord, *, place: Place | None, now: float) -> JobView:
    """Shows a job.

    Args:
        job: its row.
        place: where it stands; None unless it is queued.
        now: unix seconds, for the estimate of what is left.
    """
    error = None if job.error_code is None else JobError(code=job.error_code, detail=job.error_detail or "")
    return JobView(
        job_id=job.job_id,
        kind=job.kind.value,
        state=job.state.value,
        priority=job.priority.value,
        series_uid=job.series_uid,
        study_uid=job.study_uid,
        bag_id=job.bag_id,
        head_id=job.head_id,
        prediction_id=job.prediction_id,
        waits_for=job.waits_for,
        progress=Progress(done=job.progress_done, total=job.progress_total, unit=job.progress_unit),
        queue_position=None if place is None else place.position,
        eta_seconds=_eta(job, place, now),
        attempts=job.attempts,
        stages=job.stages,
        cancel_requested=job.cancel_requested,
        created_at=iso(job.created_at),
        started_at=iso_or_none(job.started_at),
        finished_at=iso_or_none(job.finished_at),
        error=error,
        result=job.result,
    )


def _eta(job: JobRecord, place: Place | None, now: float) -> float | None:
    """Seconds left, by the place of a queued job, or if a running one goes on as fast as so far; None where nothing tells."""
    if place is not None:
        return None if place.eta_seconds is None else round(place.eta_seconds, 1)
    if (
        job.state is not JobState.RUNNING
        or job.started_at is None
        or job.progress_total is None
        or job.progress_done <= 0
    ):
        return None
    left = max(0, job.progress_total - job.progress_done)
    return round(max(0.0, now - job.started_at) / job.progress_done * left, 1)
