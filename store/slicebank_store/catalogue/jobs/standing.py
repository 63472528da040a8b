"""Where queued jobs stand, and when they will have ended."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import case, func, select

from slicebank_store.catalogue.jobs.claiming import turn
from slicebank_store.catalogue.jobs.reading import JobQueries
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState

_RECENT = 20
"""Jobs whose speed stands for the next ones'."""

# Units of a job: slices where they were counted when it was made, else the job is one unit.
_SIZE = func.coalesce(jobs.c.size, 1)
_IN_CHUNK = 500


class JobStanding(JobQueries):
    """The part of the ledger that looks ahead."""

    def standings(self, records: Collection[JobRecord]) -> dict[str, tuple[int, float | None]]:
        """Where queued jobs stand, for many in hardly more time than for one.

        Args:
            records: any jobs, of any state.

        Returns:
            By job id, of queued jobs alone: the place in the queue over all projects, 1 for the next to start; and seconds until the job
            will have ended, judged by how fast the last ones of its kind went, None where there is nothing to judge by or it waits for
            another.
        """
        places = self._places(records)
        waiting = {job.job_id: job for job in records if job.job_id in places}
        kinds = {(job.project, job.kind) for job in waiting.values() if job.waits_for is None}
        paces = {key: self._pace(*key) for key in kinds}
        at_work = {kind: self._at_work(kind) for _, kind in kinds}
        found: dict[str, tuple[int, float | None]] = {}
        for job_id, job in waiting.items():
            place, units = places[job_id]
            pace = paces.get((job.project, job.kind))
            eta = None
            if job.waits_for is None and pace is not None:
                own = job.size or 1
                # What is ahead is shared by those at work; its own part the job does alone.
                eta = pace * ((units - own) / max(1, at_work[job.kind]) + own)
            found[job_id] = (place, eta)
        return found

    def _at_work(self, kind: JobKind) -> int:
        running = select(func.count()).where(jobs.c.state == JobState.RUNNING.value, jobs.c.kind == kind.value)
        with self._database.read() as connection:
            return int(connection.execute(running).scalar_one())

    def _pace(self, project: str, kind: JobKind) -> float | None:
        """Seconds that one worker's hand needed for a unit, over the last successes of a kind; None before the first."""
        query = (
            select(jobs.c.started_at, jobs.c.finished_at, _SIZE.label("size"))
            .where(jobs.c.project == project, jobs.c.state == JobState.SUCCEEDED.value, jobs.c.kind == kind.value)
            # A job that was written as a hit took no time and says nothing about the next one.
            .where(jobs.c.finished_at > jobs.c.started_at)
            .order_by(jobs.c.created_at.desc())
            .limit(_RECENT)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        units = sum(row.size for row in rows)
        return sum(row.finished_at - row.started_at for row in rows) / units if units else None

    def _places(self, records: Collection[JobRecord]) -> dict[str, tuple[int, int]]:
        """Of queued jobs: the place, and the units of work up to and with them."""
        wanted = [job.job_id for job in records if job.state is JobState.QUEUED]
        found: dict[str, tuple[int, int]] = {}
        queue = case({kind.value: kind.queue for kind in JobKind}, value=jobs.c.kind)
        order = (turn(), jobs.c.job_id)
        line = (
            select(
                jobs.c.job_id,
                func.row_number().over(partition_by=queue, order_by=order).label("place"),
                func.sum(_SIZE).over(partition_by=queue, order_by=order).label("units"),
            )
            .where(jobs.c.state == JobState.QUEUED.value)
            .subquery()
        )
        with self._database.read() as connection:
            for start in range(0, len(wanted), _IN_CHUNK):
                chunk = wanted[start : start + _IN_CHUNK]
                query = select(line.c.job_id, line.c.place, line.c.units).where(line.c.job_id.in_(chunk))
                found |= {row.job_id: (int(row.place), int(row.units)) for row in connection.execute(query)}
        return found
