"""Cancelling and retrying many jobs at once, inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select, update

from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.jobs.retrying import retry_row
from slicebank_store.catalogue.jobs.transitions import finish
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import jobs
from slicebank_store.errors import NotRetryable
from slicebank_store.types import JobKind, JobState


@dataclass(frozen=True, slots=True)
class Stopped:
    """A job that was cancelled, or asked to end.

    Attributes:
        running: whether a worker has still to end it.
        staging: upload id of its files, where it has any.
    """

    job_id: str
    running: bool
    staging: str | None


def cancel_jobs(connection: Connection, project: str, job_ids: Collection[str], now: float) -> list[Stopped]:
    """Cancels those that are queued and asks running ones to end; what is final by now is left alone."""
    rows = _locked(connection, project, job_ids, ACTIVE_STATES)
    named = [row["job_id"] for row in rows]
    awaited = set(
        connection.execute(
            select(jobs.c.waits_for).where(jobs.c.project == project, jobs.c.waits_for.in_(named))
        ).scalars()
    )
    running, plain, stopped = [], [], []
    for row in rows:
        runs = row["state"] == JobState.RUNNING.value
        stopped.append(Stopped(row["job_id"], runs, row["staging"]))
        if runs:
            running.append(row["job_id"])
        elif row["job_id"] in awaited or row["kind"] == JobKind.TRAIN.value:
            finish(connection, row, JobState.CANCELLED, now)
        else:
            plain.append(row["job_id"])
    # Of most jobs nothing else hangs, and ten thousand are then cancelled in seconds.
    ended = {"state": JobState.CANCELLED.value, "finished_at": now, "error_code": None, "error_detail": None}
    for ids, values in ((running, {"cancel_requested": True}), (plain, ended)):
        connection.execute(update(jobs).where(jobs.c.project == project, jobs.c.job_id.in_(ids)).values(values))
    return stopped


def retry_jobs(
    connection: Connection, project: str, job_ids: Collection[str], now: float, staged: Callable[[str], bool]
) -> list[JobRecord]:
    """Queues again what can be; the rest stays as it is."""
    queued = []
    states = (JobState.FAILED.value, JobState.CANCELLED.value)
    for row in _locked(connection, project, job_ids, states):
        try:
            with connection.begin_nested():
                retry_row(connection, row, now, staged)
        except NotRetryable:
            continue
        again = select(jobs).where(jobs.c.project == project, jobs.c.job_id == row["job_id"])
        queued.append(to_record(JobRecord, connection.execute(again).mappings().one()))
    return queued


def _locked(
    connection: Connection, project: str, job_ids: Collection[str], states: Collection[str]
) -> Sequence[RowMapping]:
    query = (
        select(jobs)
        .where(jobs.c.project == project, jobs.c.job_id.in_(list(job_ids)), jobs.c.state.in_(states))
        .order_by(jobs.c.job_id)
        .with_for_update()
    )
    return connection.execute(query).mappings().all()
