"""Finding lost jobs: leases that ran out, and messages that nobody answered."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Update, and_, case, or_, select, update

from slicebank_store.catalogue.jobs.reading import JobQueries, priority_rank
from slicebank_store.catalogue.jobs.transitions import LOST_LEASE_LIMIT, finish, requeue
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState

MAX_DISPATCHES = 200
"""Messages of one sweep; the rest follow in the next, seconds later."""

MAX_DISPATCH_FACTOR = 32
"""A cohort of thousands waits for hours: without this growing pause its repeated messages would fill the broker."""


class DueJob(NamedTuple):
    """A job whose message is to be sent."""

    job_id: str
    kind: JobKind


class Sweeping(JobQueries):
    """The part of the ledger that sweepers use. Any number may sweep at once."""

    def sweep(self, now: float, *, redispatch_after_s: float) -> list[DueJob]:
        """Takes back leases that ran out, and tells which jobs need a message.

        Args:
            now: seconds since 1970.
            redispatch_after_s: how long a message may go unanswered; doubled with each of the job's messages, at most
                32-fold.

        Returns:
            Jobs marked as dispatched: the caller sends their messages, and calls `undelivered` where it cannot.
        """
        expired = and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until < now)
        unanswered = jobs.c.dispatched_at + redispatch_after_s * jobs.c.dispatch_factor <= now
        due = and_(
            jobs.c.state == JobState.QUEUED.value,
            jobs.c.waits_for.is_(None),
            jobs.c.not_before <= now,
            or_(jobs.c.dispatched_at.is_(None), unanswered),
        )
        with self._database.read() as connection:  # most sweeps find nothing, and must not hold up writers
            if connection.execute(select(jobs.c.job_id).where(or_(expired, due)).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            for row in (
                connection.execute(select(jobs).where(expired).with_for_update(skip_locked=True)).mappings().all()
            ):
                lost = row["lost_leases"] + 1
                if row["cancel_requested"]:
                    finish(connection, row, JobState.CANCELLED, now)
                elif lost >= LOST_LEASE_LIMIT:
                    sentence = (
                        f"Its worker fell silent {lost} times without progress: memory may be short for this series, "
                        "or its files break the decoder. See the worker's log."
                    )
                    finish(connection, row, JobState.FAILED, now, error=("lease_lost", sentence))
                else:
                    requeue(connection, row, not_before=now, lost_leases=lost, attempts=row["attempts"] - 1)
            order = (priority_rank(), jobs.c.created_at, jobs.c.job_id)
            query = select(jobs.c.job_id, jobs.c.kind).where(due).order_by(*order).limit(MAX_DISPATCHES)
            found = [
                DueJob(row.job_id, JobKind(row.kind))
                for row in connection.execute(query.with_for_update(skip_locked=True))
            ]
            for job in found:
                connection.execute(_dispatched(job.job_id, now))
        return found

    def mark_dispatched(self, job_id: str) -> None:
        """Notes that a queued job's message was sent."""
        with self._database.write() as connection:
            connection.execute(_dispatched(job_id, self._clock()))

    def undelivered(self, job_id: str) -> None:
        """Notes that a message could not be sent after all: the next sweep tries again."""
        which = and_(jobs.c.job_id == job_id, jobs.c.state == JobState.QUEUED.value)
        with self._database.write() as connection:
            connection.execute(update(jobs).where(which).values(dispatched_at=None, dispatch_factor=1))


def _dispatched(job_id: str, now: float) -> Update:
    grown = case(
        (jobs.c.dispatched_at.is_(None), 1),
        (jobs.c.dispatch_factor >= MAX_DISPATCH_FACTOR, MAX_DISPATCH_FACTOR),
        else_=jobs.c.dispatch_factor * 2,
    )
    which = and_(jobs.c.job_id == job_id, jobs.c.state == JobState.QUEUED.value)
    return update(jobs).where(which).values(dispatched_at=now, dispatch_factor=grown)
