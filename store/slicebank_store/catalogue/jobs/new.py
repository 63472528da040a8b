"""Making jobs. Two unfinished jobs never make the same thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select
from structlog.contextvars import get_contextvars

from slicebank_store.catalogue.jobs.transitions import dependency_sentence
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import jobs, manifests
from slicebank_store.identity import new_id
from slicebank_store.types import JSON, JobKind, JobState, Priority

ACTIVE_STATES = (JobState.QUEUED.value, JobState.RUNNING.value)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be.

    Attributes:
        bag_id: what an embed job makes, or what a predict job reads.
        waits_for: id of a job that must succeed first.
        params: what to do, by kind.
        manifest: the bulky part of what to do, read by the worker alone.
        staging: upload id of its files.
        job_id: a random id, unless given.
        request_id: of the HTTP request that asks for it; by default the one that is bound to the log lines of this
            thread.
        not_before: seconds since 1970 before which nobody may claim it; None for at once.
        arrival: whether its files may still be arriving: one such job of a study waits at a time.
        announced: whether whoever makes it sends its message at once, so that no sweep need do it (see `dispatching.announce`).
    """

    project: str
    kind: JobKind
    priority: Priority = Priority.INTERACTIVE
    series_uid: str | None = None
    study_uid: str | None = None
    bag_id: str | None = None
    head_id: str | None = None
    prediction_id: str | None = None
    waits_for: str | None = None
    params: JSON = field(default_factory=dict)
    manifest: JSON = field(default_factory=dict)
    staging: str | None = None
    job_id: str = field(default_factory=new_id)
    request_id: str | None = None
    not_before: float | None = None
    arrival: bool = False
    announced: bool = False

    @property
    def subject(self) -> str:
        """What the job makes; no two unfinished jobs of a project have the same."""
        made = {
            JobKind.EMBED: self.bag_id,
            JobKind.TRAIN: self.head_id,
            JobKind.PREDICT: self.prediction_id,
            JobKind.IMPORT: self._imported,
            JobKind.PULL: self.params.get("encoder_id"),
            JobKind.EVALUATE: self.params.get("evaluation_id"),
        }[self.kind]
        return f"{self.kind.value}:{made or self.job_id}"

    @staticmethod
    def study_subject(study_uid: str) -> str:
        """The subject of the job that takes a study's arriving files."""
        return f"{JobKind.IMPORT.value}:study:{study_uid}"

    @property
    def _imported(self) -> str | None:
        if self.arrival:
            return f"study:{self.study_uid}"
        return None if self.series_uid is None else f"{self.series_uid}:{self.manifest.get('content_digest')}"


def insert_job(connection: Connection, new: NewJob, now: float) -> tuple[JobRecord, bool]:
    """Writes a job and its manifest, or finds the unfinished one that makes the same.

    A job whose dependency has failed already is written as failed.

    Returns:
        The job, and whether it was made now.
    """
    twin = active_twin(connection, new.project, new.subject)
    if twin is not None:
        return twin, False
    values = _first_row(new, now) | _dependency(connection, new, now)
    if new.announced and values["waits_for"] is None and values["state"] == JobState.QUEUED.value:
        values["dispatched_at"] = now
    connection.execute(insert(jobs).values(values))
    connection.execute(insert(manifests).values(project=new.project, job_id=new.job_id, manifest=new.manifest))
    return to_record(JobRecord, values), True


def insert_succeeded(connection: Connection, new: NewJob, result: JSON, now: float) -> JobRecord:
    """Writes a job that has nothing left to do, so that a hit has a job to name."""
    values = _first_row(new, now) | {
        "state": JobState.SUCCEEDED.value,
        "result": result,
        "started_at": now,
        "finished_at": now,
    }
    connection.execute(insert(jobs).values(values))
    connection.execute(insert(manifests).values(project=new.project, job_id=new.job_id, manifest=new.manifest))
    return to_record(JobRecord, values)


def active_twin(connection: Connection, project: str, subject: str) -> JobRecord | None:
    """The unfinished job that makes a thing, if there is one."""
    query = select(jobs).where(jobs.c.project == project, jobs.c.subject == subject, jobs.c.state.in_(ACTIVE_STATES))
    row = connection.execute(query.with_for_update()).mappings().first()
    return None if row is None else to_record(JobRecord, row)


def _dependency(connection: Connection, new: NewJob, now: float) -> dict[str, Any]:
    if new.waits_for is None:
        return {}
    query = select(jobs.c.state).where(jobs.c.project == new.project, jobs.c.job_id == new.waits_for).with_for_update()
    state = connection.execute(query).scalar_one_or_none()
    if state == JobState.SUCCEEDED.value:
        return {"waits_for": None}
    if state in ACTIVE_STATES:
        return {}
    return {
        "state": JobState.FAILED.value,
        "finished_at": now,
        "error_code": "dependency_failed",
        "error_detail": dependency_sentence(new.waits_for, state or "deleted"),
    }


def _first_row(new: NewJob, now: float) -> dict[str, Any]:
    slices = new.manifest.get("slices")
    return {
        "project": new.project,
        "job_id": new.job_id,
        "kind": new.kind.value,
        "state": JobState.QUEUED.value,
        "priority": new.priority.value,
        "subject": new.subject,
        "series_uid": new.series_uid,
        "study_uid": new.study_uid,
        "bag_id": new.bag_id,
        "head_id": new.head_id,
        "prediction_id": new.prediction_id,
        "waits_for": new.waits_for,
        "params": new.params,
        "staging": new.staging,
        "progress_done": 0,
        "progress_total": None,
        "progress_unit": None,
        "progress_best": 0,
        "stages": {},
        "attempts": 0,
        "lost_leases": 0,
        "error_code": None,
        "error_detail": None,
        "result": None,
        "cancel_requested": False,
        "created_at": now,
        "started_at": None,
        "finished_at": None,
        "fence": 0,
        "worker": None,
        "lease_until": None,
        "not_before": now if new.not_before is None else new.not_before,
        "dispatched_at": None,
        "dispatch_factor": 1,
        "request_id": new.request_id or get_contextvars().get("request_id"),
        "size": None if slices is None else len(slices),
    }
