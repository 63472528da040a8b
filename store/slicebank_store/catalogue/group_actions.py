"""Cancelling and retrying many jobs at once, inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, select, update

from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.jobs.retrying import retry_row
from slicebank_store.catalogue.jobs.transitions import finish
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import jobs
from slicebank_store.errors import NotRetryable
from slicebank_store.types import JobState


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
    stopped = []
    for row in _locked(connection, project, job_ids, ACTIVE_STATES):
        running = row["state"] == JobState.RUNNING.value
        if running:
            which = and_(jobs.c.project == project, jobs.c.job_id == row["job_id"])
            connection.execute(update(jobs).where(which).values(cancel_requested=True))
        else:
            finish(connection, row, JobState.CANCELLED, now)
        stopped.append(Stopped(row["job_id"], running, row["staging"]))
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
