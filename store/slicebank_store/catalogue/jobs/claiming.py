"""Which job a worker gets: the one whose turn it is, taken exactly once among all who ask."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, select, update

from slicebank_store.catalogue.jobs.lease import Lease
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState, Priority

BULK_PATIENCE_S = 600.0
"""An interactive job overtakes bulk jobs that are at most this much older: nobody who waits at a screen stands behind a cohort, and a
cohort beside endless interactive work still moves."""


def turn() -> ColumnElement[float]:
    """When a job's turn would come if all were served in the order of this time, seconds since 1970."""
    return jobs.c.created_at + case((jobs.c.priority == Priority.BULK.value, BULK_PATIENCE_S), else_=0.0)


def due_row(
    connection: Connection, kinds: Collection[JobKind], priorities: Collection[Priority], now: float
) -> RowMapping | None:
    """The job of some kinds whose turn it is, locked; jobs that somebody else is taking are passed over."""
    passed_over: list[str] = []
    while (job_id := _first(connection, kinds, priorities, now, passed_over)) is not None:
        # Only the one that is wanted is locked: another who asks meanwhile finds the next.
        query = select(jobs).where(jobs.c.job_id == job_id, _due(now)).with_for_update(skip_locked=True)
        row = connection.execute(query).mappings().first()
        if row is not None:
            return row
        passed_over.append(job_id)
    return None


def _first(
    connection: Connection,
    kinds: Collection[JobKind],
    priorities: Collection[Priority],
    now: float,
    passed_over: Collection[str],
) -> str | None:
    heads = []
    for kind in kinds:
        for priority in priorities:
            # One look for each kind and priority, each at the head of an index; a queue of any length costs the same.
            query = (
                select(jobs.c.created_at, jobs.c.job_id)
                .where(jobs.c.kind == kind.value, jobs.c.priority == priority.value, _due(now))
                .where(jobs.c.job_id.not_in(passed_over))
                .order_by(jobs.c.created_at, jobs.c.job_id)
                .limit(1)
            )
            head = connection.execute(query).first()
            if head is not None:
                patience = BULK_PATIENCE_S if priority is Priority.BULK else 0.0
                heads.append((head.created_at + patience, str(head.job_id)))
    return min(heads)[1] if heads else None


def _due(now: float) -> ColumnElement[bool]:
    return and_(jobs.c.state == JobState.QUEUED.value, jobs.c.waits_for.is_(None), jobs.c.not_before <= now)


def take(connection: Connection, row: RowMapping, now: float, *, worker: str, lease_s: float) -> Lease:
    """Makes a locked, queued job a worker's."""
    values: dict[str, Any] = {
        "state": JobState.RUNNING.value,
        "fence": row["fence"] + 1,
        "attempts": row["attempts"] + 1,
        "worker": worker,
        "lease_until": now + lease_s,
        "started_at": row["started_at"] if row["started_at"] is not None else now,
        "error_code": None,
        "error_detail": None,
        "progress_done": 0,
    }
    connection.execute(update(jobs).where(jobs.c.job_id == row["job_id"]).values(values))
    return Lease(job=to_record(JobRecord, {**row, **values}), fence=values["fence"], worker=worker)
