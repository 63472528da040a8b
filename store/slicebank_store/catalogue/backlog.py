"""How much waits and is at work: few numbers over many jobs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, literal_column, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState, Priority

_RECENT = 20
"""Jobs whose mean time stands for the next one's."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Unfinished jobs of one kind, priority and state, over all projects.

    Attributes:
        jobs: how many; never 0.
        oldest_at: when the oldest of them was made, seconds since 1970.
    """

    kind: JobKind
    priority: Priority
    state: JobState
    jobs: int
    oldest_at: float


class Backlog:
    """Counts of unfinished jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def depths(self) -> list[QueueDepth]:
        """Unfinished jobs of all projects; combinations without a job are left out."""
        named = (jobs.c.kind, jobs.c.priority, jobs.c.state)
        # Covered by ix_jobs_work.
        query = (
            select(*named, func.count().label("jobs"), func.min(jobs.c.created_at).label("oldest_at"))
            .where(jobs.c.state.in_(ACTIVE_STATES))
            .group_by(*named)
            .order_by(*named)
        )
        with self._database.read() as connection:
            return [
                QueueDepth(JobKind(row.kind), Priority(row.priority), JobState(row.state), row.jobs, row.oldest_at)
                for row in connection.execute(query)
            ]

    def queued(self, project: str, kinds: Collection[JobKind], *, at_most: int) -> int:
        """Queued jobs of a project and some kinds, counted no further than `at_most`: the cost does not grow with the queue."""
        found = (
            select(literal_column("1"))
            .where(
                jobs.c.project == project,
                jobs.c.state == JobState.QUEUED.value,
                jobs.c.kind.in_([kind.value for kind in kinds]),
            )
            .limit(at_most)
            .subquery()
        )
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(found)).scalar_one())

    def seconds_a_job(self, project: str, kinds: Collection[JobKind]) -> float | None:
        """Mean seconds from start to end of the last successes of some kinds; None before the first."""
        query = (
            select(jobs.c.started_at, jobs.c.finished_at)
            .where(
                jobs.c.project == project,
                jobs.c.state == JobState.SUCCEEDED.value,
                jobs.c.kind.in_([kind.value for kind in kinds]),
                # A job that was written as a hit took no time and says nothing about the next one.
                jobs.c.finished_at > jobs.c.started_at,
            )
            .order_by(jobs.c.created_at.desc())
            .limit(_RECENT)
        )
        with self._database.read() as connection:
            times = [float(row.finished_at - row.started_at) for row in connection.execute(query)]
        return sum(times) / len(times) if times else None

    def staged(self, project: str) -> set[str]:
        """Upload ids that unfinished jobs of a project name."""
        query = (
            select(jobs.c.staging)
            .where(jobs.c.project == project, jobs.c.state.in_(ACTIVE_STATES), jobs.c.staging.is_not(None))
            .distinct()
        )
        with self._database.read() as connection:
            return {str(upload_id) for upload_id in connection.execute(query).scalars()}
