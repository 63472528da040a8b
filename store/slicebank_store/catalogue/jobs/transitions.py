"""Moves of a job from one state to another, inside a transaction.

queued -> running -> succeeded | failed | cancelled; running -> queued when its worker falls silent or hands it back,
or when an attempt failed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, and_, select, update

from slicebank_store.catalogue.jobs.lease import Lease
from slicebank_store.catalogue.tables import heads, jobs
from slicebank_store.types import JSON, HeadState, JobKind, JobState

MAX_ATTEMPTS = 3
"""Failures of a job's own after which it is given up."""

BACKOFF_S = (2.0, 10.0)
"""Seconds until the second and the third attempt: long enough for a disk or a database to come back."""

LOST_LEASE_LIMIT = 10
"""Lost leases without progress after which a job is given up: by then it ran alone eight times."""

_HEAD_STATES = {
    JobState.SUCCEEDED: HeadState.READY,
    JobState.FAILED: HeadState.FAILED,
    JobState.CANCELLED: HeadState.CANCELLED,
}


def dependency_sentence(job_id: str, state: str) -> str:
    """Why a job that waited for another cannot go on."""
    return f"The job it waited for, {job_id}, is {state}: see there, and ask again when it has succeeded."


def held_row(connection: Connection, lease: Lease) -> RowMapping | None:
    """The job's row, locked, if the lease still holds; None when it was lost."""
    query = select(jobs).where(
        jobs.c.project == lease.job.project,
        jobs.c.job_id == lease.job.job_id,
        jobs.c.fence == lease.fence,
        jobs.c.state == JobState.RUNNING.value,
    )
    return connection.execute(query.with_for_update()).mappings().first()


def finish(
    connection: Connection,
    row: RowMapping,
    state: JobState,
    now: float,
    *,
    error: tuple[str, str] | None = None,
    result: JSON | None = None,
    stages: JSON | None = None,
) -> None:
    """Ends a job; jobs that wait for it go on or fail, and the head that it trains takes its state.

    Args:
        connection: in a write transaction.
        row: the job.
        state: final.
        now: seconds since 1970.
        error: code and sentence of a failure.
        result: of a success, or what is to be said of a failure beside its sentence.
        stages: seconds by stage, replacing those known.
    """
    values: dict[str, Any] = {"state": state.value, "finished_at": now, "lease_until": None, "result": result}
    values["error_code"], values["error_detail"] = error or (None, None)
    if stages is not None:
        values["stages"] = stages
    if state is JobState.SUCCEEDED and row["progress_total"] is not None:
        values["progress_done"] = row["progress_total"]
    _change(connection, row, values)
    if row["kind"] == JobKind.TRAIN.value:
        settle_head(connection, row, _HEAD_STATES[state], now)
    waiting = select(jobs).where(
        jobs.c.project == row["project"], jobs.c.waits_for == row["job_id"], jobs.c.state == JobState.QUEUED.value
    )
    for other in connection.execute(waiting.with_for_update()).mappings().all():
        if state is JobState.SUCCEEDED:
            _change(
                connection, other, {"waits_for": None, "not_before": now, "dispatched_at": None, "dispatch_factor": 1}
            )
        else:
            sentence = dependency_sentence(row["job_id"], state.value)
            finish(connection, other, JobState.FAILED, now, error=("dependency_failed", sentence))


def requeue(
    connection: Connection, row: RowMapping, *, not_before: float, error: tuple[str, str] | None = None, **values: Any
) -> None:
    """Puts a running job back; its message is sent again by the next sweep.

    Args:
        connection: in a write transaction.
        row: the job.
        not_before: seconds since 1970 before which nobody may claim it.
        error: code and sentence of the attempt that failed, kept until the job ends.
        **values: further columns.
    """
    code, detail = error or (None, None)
    back = {
        "state": JobState.QUEUED.value,
        "lease_until": None,
        "not_before": not_before,
        "dispatched_at": None,
        "dispatch_factor": 1,
        "progress_done": 0,
        "error_code": code,
        "error_detail": detail,
    }
    _change(connection, row, back | values)


def settle_head(connection: Connection, row: RowMapping, state: HeadState, now: float | None) -> None:
    """Gives a head version the state of its job."""
    which = and_(heads.c.project == row["project"], heads.c.head_id == row["head_id"])
    connection.execute(update(heads).where(which).values(state=state.value, finished_at=now))


def _change(connection: Connection, row: RowMapping, values: dict[str, Any]) -> None:
    which = and_(jobs.c.project == row["project"], jobs.c.job_id == row["job_id"])
    connection.execute(update(jobs).where(which).values(values))
