"""Finding lost jobs: leases that ran out, and messages that nobody answered."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Update, and_, case, false, func, or_, select, update

from slicebank_store.catalogue.jobs.claiming import turn
from slicebank_store.catalogue.jobs.standing import JobStanding
from slicebank_store.catalogue.jobs.transitions import LOST_LEASE_LIMIT, finish, requeue
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JobKind, JobState, Priority

MAX_DISPATCHES = 200
"""Messages of one sweep; the rest follow in the next, seconds later."""

MAX_DISPATCH_FACTOR = 32
"""A cohort of thousands waits for hours: without this growing pause its repeated messages would fill the broker."""


MAX_WAKE_UPS = 16
"""Messages into a queue that the broker holds empty: each wakes one hand of a worker, which goes on by itself."""

IDLE_GRACE_S = 2.0
"""A message sent so lately may be in a worker's hands already."""

CLOCK_SLACK_S = 120.0
"""No lease, back-off or message reaches further into the future: leases are seconds, postponements a minute, and quiet times 100 seconds at most."""


class DueJob(NamedTuple):
    """A job whose message is to be sent."""

    job_id: str
    kind: JobKind
    priority: Priority


class HeldLease(NamedTuple):
    """A lease as it stands in the catalogue; every heartbeat changes it."""

    job_id: str
    fence: int
    lease_until: float


class Sweeping(JobStanding):
    """The part of the ledger that sweepers use. Any number may sweep at once."""

    def held(self) -> list[HeldLease]:
        """Every lease, of whatever age."""
        query = select(jobs.c.job_id, jobs.c.fence, jobs.c.lease_until).where(jobs.c.state == JobState.RUNNING.value)
        with self._database.read() as connection:
            return [HeldLease(*row) for row in connection.execute(query)]

    def next_import(self, now: float) -> float | None:
        """When the first queued import or pull is due, seconds since 1970: now at the earliest, and in the future for a study that still arrives."""
        transfers = [kind.value for kind in JobKind if kind.transfers]
        queued = and_(jobs.c.state == JobState.QUEUED.value, jobs.c.kind.in_(transfers))
        with self._database.read() as connection:
            # A cohort's thousands are due all at once: the first one found says so.
            if connection.execute(select(jobs.c.job_id).where(queued, jobs.c.not_before <= now).limit(1)).first():
                return now
            due: float | None = connection.execute(select(func.min(jobs.c.not_before)).where(queued)).scalar_one()
        return due

    def sweep(
        self,
        now: float,
        *,
        redispatch_after_s: float,
        idle: Collection[str] = (),
        silent: Collection[HeldLease] | None = None,
    ) -> list[DueJob]:
        """Takes back leases that ran out, and tells which jobs need a message.

        Args:
            now: seconds since 1970.
            redispatch_after_s: how long a message may go unanswered; doubled with each of the job's messages, at most
                32-fold.
            idle: queues in which the broker holds no message: due jobs of theirs have lost theirs.
            silent: leases that nobody renewed for as long as they last, which a sweeper knows by watching them; None trusts the clocks of
                all hosts instead.

        Returns:
            Jobs marked as dispatched: the caller sends their messages, and calls `undelivered` where it cannot.
        """
        expired = _expired(now, silent)
        queued = and_(jobs.c.state == JobState.QUEUED.value, jobs.c.waits_for.is_(None), jobs.c.not_before <= now)
        unanswered = jobs.c.dispatched_at + redispatch_after_s * jobs.c.dispatch_factor <= now
        due = and_(queued, or_(jobs.c.dispatched_at.is_(None), unanswered))
        kinds = [kind.value for kind in JobKind if kind.queue in idle]
        unheard = and_(queued, jobs.c.kind.in_(kinds), jobs.c.dispatched_at <= now - IDLE_GRACE_S)
        ahead = _ahead_of_time(now)
        with self._database.read() as connection:  # most sweeps find nothing, and must not hold up writers
            anything = or_(expired, due, ahead, unheard) if kinds else or_(expired, due, ahead)
            if connection.execute(select(jobs.c.job_id).where(anything).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            connection.execute(update(jobs).where(ahead).values(_set_back(now)))
            self._take_back(connection, expired, now)
            found = _mark(connection, due, MAX_DISPATCHES, now)
            if kinds and not found:
                found = _mark(connection, unheard, MAX_WAKE_UPS, now)
        return found

    @staticmethod
    def _take_back(connection: Connection, expired: ColumnElement[bool], now: float) -> None:
        for row in (
            connection.execute(
                select(jobs).where(expired).order_by(jobs.c.created_at, jobs.c.job_id).with_for_update(skip_locked=True)
            )
            .mappings()
            .all()
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


def _expired(now: float, silent: Collection[HeldLease] | None) -> ColumnElement[bool]:
    running = jobs.c.state == JobState.RUNNING.value
    if silent is None:
        return and_(running, jobs.c.lease_until < now)
    # Unchanged to this moment: a heartbeat that came since it was judged saves it.
    same = (
        and_(jobs.c.job_id == job_id, jobs.c.fence == fence, jobs.c.lease_until == lease_until)
        for job_id, fence, lease_until in silent
    )
    return and_(running, or_(false(), *same))


def _mark(connection: Connection, which: ColumnElement[bool], most: int, now: float) -> list[DueJob]:
    """Marks the first jobs of those meant as dispatched."""
    query = select(jobs.c.job_id, jobs.c.kind, jobs.c.priority).where(which).order_by(turn(), jobs.c.job_id).limit(most)
    found = [
        DueJob(row.job_id, JobKind(row.kind), Priority(row.priority))
        for row in connection.execute(query.with_for_update(skip_locked=True))
    ]
    for job in found:
        connection.execute(_dispatched(job.job_id, now))
    return found


def _ahead_of_time(now: float) -> ColumnElement[bool]:
    """Jobs with times that no clock which agrees with ours can have written: one was set back since, and they would wait for hours."""
    limit = now + CLOCK_SLACK_S
    return or_(
        and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until > limit),
        and_(jobs.c.state == JobState.QUEUED.value, or_(jobs.c.not_before > limit, jobs.c.dispatched_at > limit)),
    )


def _set_back(now: float) -> dict[str, Any]:
    """A living worker's next heartbeat renews its lease; a dead one's runs out as it should."""
    limit = now + CLOCK_SLACK_S
    return {
        "lease_until": case((jobs.c.lease_until > limit, limit), else_=jobs.c.lease_until),
        "not_before": case((jobs.c.not_before > limit, now), else_=jobs.c.not_before),
        "dispatched_at": case((jobs.c.dispatched_at > limit, now), else_=jobs.c.dispatched_at),
    }
