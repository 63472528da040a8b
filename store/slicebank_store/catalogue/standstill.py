"""Jobs that nobody moves, although nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState

SILENT_S = 300.0
"""Seconds after the end of a lease: living workers take it back within seconds, so that by then none sweeps."""

WAITING_S = 3600.0
"""Seconds for which a job is due while no job of its queue runs or ends. The longest batch of work, a training, reports
more often; a cohort that waits behind others is not stuck."""

MAX_LISTED = 1000
"""Jobs listed of each sort: behind a worker that does not run, every one is stuck for the same reason."""


class Cause(StrEnum):
    """Why a job stands still."""

    SILENT = "silent"
    WAITING = "waiting"
    FORSAKEN = "forsaken"


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that stands still.

    Attributes:
        since: seconds since 1970: the end of its lease, or when it became due.
        worker: who held it last, where it was held.
        waits_for: the job that it waits for in vain.
    """

    cause: Cause
    project: str
    job_id: str
    kind: JobKind
    since: float
    worker: str | None
    waits_for: str | None


class Standstill:
    """Finds jobs that nobody moves."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def stuck(self) -> list[StuckJob]:
        """Jobs whose lease ran out long ago, due jobs of queues where nothing moves, jobs that wait for one that is over."""
        now = self._clock()
        queued = jobs.c.state == JobState.QUEUED.value
        with self._database.read() as connection:
            silent = and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until < now - SILENT_S)
            found = _listed(connection, Cause.SILENT, silent)
            still = [kind.value for kind in JobKind if not _moves(connection, kind, now)]
            due = and_(queued, jobs.c.waits_for.is_(None), jobs.c.not_before < now - WAITING_S, jobs.c.kind.in_(still))
            found += _listed(connection, Cause.WAITING, due)
            other = jobs.alias()
            unfinished = select(other.c.job_id).where(
                other.c.project == jobs.c.project,
                other.c.job_id == jobs.c.waits_for,
                other.c.state.in_(ACTIVE_STATES),
            )
            found += _listed(
                connection, Cause.FORSAKEN, and_(queued, jobs.c.waits_for.is_not(None), ~unfinished.exists())
            )
        return found


def _listed(connection: Connection, cause: Cause, which: ColumnElement[bool]) -> list[StuckJob]:
    columns = (jobs.c.project, jobs.c.job_id, jobs.c.kind, jobs.c.lease_until, jobs.c.not_before, jobs.c.worker)
    query = select(*columns, jobs.c.waits_for).where(which).order_by(jobs.c.created_at, jobs.c.job_id)
    return [
        StuckJob(
            cause,
            row.project,
            row.job_id,
            JobKind(row.kind),
            row.lease_until if cause is Cause.SILENT else row.not_before,
            row.worker,
            row.waits_for,
        )
        for row in connection.execute(query.limit(MAX_LISTED))
    ]


def _moves(connection: Connection, kind: JobKind, now: float) -> bool:
    """Whether a job of the kind's queue runs under a lease that holds, or ended lately."""
    kinds = [other.value for other in JobKind if other.queue == kind.queue]
    runs = and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until >= now)
    query = select(jobs.c.job_id).where(jobs.c.kind.in_(kinds), or_(runs, jobs.c.finished_at > now - WAITING_S))
    return connection.execute(query.limit(1)).first() is not None
