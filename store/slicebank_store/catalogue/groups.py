"""Groups: jobs that were asked for together, case by case, with one progress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    RowMapping,
    and_,
    case,
    delete,
    distinct,
    exists,
    func,
    insert,
    select,
)

from slicebank_store.catalogue.chunks import chunks
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.group_actions import Stopped, cancel_jobs, retry_jobs
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.records import JobRecord, Page
from slicebank_store.catalogue.tables import group_jobs, group_refusals, groups, jobs
from slicebank_store.errors import UnknownGroup
from slicebank_store.identity import new_id
from slicebank_store.types import JobState

LISTED_FAILURES = 100
"""Failures that are told one by one; what is wrong with thousands is mostly the same."""

# Jobs that one transaction changes: some 100 ms, for which SQLite lets nobody else write.
_CHUNK = 200
_GIVEN_UP = (JobState.FAILED.value, JobState.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group.

    Attributes:
        key: what the sender calls it, 64 hex digits.
        cases: how many there are to be.
    """

    project: str
    group_id: str
    key: str
    cases: int
    created_at: float


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """How far a group is.

    Attributes:
        cases_done: cases that were refused, or have jobs that are all final.
        jobs: how many jobs are in each state.
    """

    cases_done: int
    jobs: Mapping[JobState, int]


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """Why there is nothing, or not everything, of a case.

    Attributes:
        case: its number, from 0.
        job_id: the job that failed; None where nothing could be taken.
    """

    case: int
    job_id: str | None
    code: str
    detail: str


class Groups:
    """The part of the catalogue that knows of groups."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def create(self, project: str, *, key: str, cases: int) -> GroupRecord:
        """Makes a group, or finds the one of this key."""

        def create(connection: Connection) -> GroupRecord:
            query = select(groups).where(groups.c.project == project, groups.c.key == key)
            row = connection.execute(query).mappings().first()
            if row is not None:
                return GroupRecord(**row)
            made = GroupRecord(project, new_id(), key, cases, self._clock())
            connection.execute(
                insert(groups).values(
                    project=project, group_id=made.group_id, key=key, cases=cases, created_at=made.created_at
                )
            )
            return made

        return self._database.transact(create)

    def get(self, project: str, group_id: str) -> GroupRecord | None:
        """The group, or None."""
        query = select(groups).where(groups.c.project == project, groups.c.group_id == group_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else GroupRecord(**row)

    def list(self, project: str, *, limit: int = 100, cursor: str | None = None) -> Page[GroupRecord]:
        """Groups of a project, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(groups).where(groups.c.project == project)
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection,
                query,
                created_at=groups.c.created_at,
                identifier=groups.c.group_id,
                limit=limit,
                cursor=cursor,
            )
        return Page([GroupRecord(**row) for row in rows], following)

    def progress(self, project: str, group_id: str) -> GroupProgress:
        """How far a group is, in one walk over its jobs; nothing of a group that is not there."""
        mine = and_(group_jobs.c.project == project, group_jobs.c.group_id == group_id)
        # The same work asked for by two cases is one job.
        by_state = (
            select(jobs.c.state, func.count(distinct(group_jobs.c.job_id)).label("jobs"))
            .select_from(_with_jobs())
            .where(mine)
            .group_by(jobs.c.state)
        )
        # A job that was deleted with its series has no state any more, and keeps nobody waiting.
        active = func.max(case((jobs.c.state.in_(ACTIVE_STATES), 1), else_=0))
        settled = (
            select(group_jobs.c.case_number)
            .select_from(_with_jobs(outer=True))
            .where(mine)
            .group_by(group_jobs.c.case_number)
            .having(active == 0)
            .subquery()
        )
        with_jobs = exists().where(
            group_jobs.c.project == project,
            group_jobs.c.group_id == group_id,
            group_jobs.c.case_number == group_refusals.c.case_number,
        )
        refused = (
            select(func.count())
            .select_from(group_refusals)
            .where(group_refusals.c.project == project, group_refusals.c.group_id == group_id, ~with_jobs)
        )
        with self._database.read() as connection:
            counts = {JobState(row.state): int(row.jobs) for row in connection.execute(by_state)}
            done = connection.execute(select(func.count()).select_from(settled)).scalar_one()
            done += connection.execute(refused).scalar_one()
        return GroupProgress(int(done), {state: counts.get(state, 0) for state in JobState})

    def failures(self, project: str, group_id: str, *, limit: int = LISTED_FAILURES) -> Sequence[CaseFailure]:
        """The first failures of a group, by case."""
        refused = (
            select(group_refusals.c.case_number, group_refusals.c.code, group_refusals.c.detail)
            .where(group_refusals.c.project == project, group_refusals.c.group_id == group_id)
            .order_by(group_refusals.c.case_number)
            .limit(limit)
        )
        failed = (
            select(group_jobs.c.case_number, jobs.c.job_id, jobs.c.error_code, jobs.c.error_detail)
            .select_from(_with_jobs())
            .where(
                group_jobs.c.project == project,
                group_jobs.c.group_id == group_id,
                jobs.c.state == JobState.FAILED.value,
            )
            .order_by(group_jobs.c.case_number, group_jobs.c.job_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            found = [CaseFailure(row.case_number, None, row.code, row.detail) for row in connection.execute(refused)]
            found += [
                CaseFailure(row.case_number, row.job_id, row.error_code or "", row.error_detail or "")
                for row in connection.execute(failed)
            ]
        return sorted(found, key=lambda failure: failure.case)[:limit]

    def join(self, project: str, group_id: str, case: int | None, job_ids: Collection[str]) -> None:
        """Makes jobs part of a group; those that are already stay.

        Raises:
            UnknownGroup: the project has no such group.
        """
        self._database.transact(lambda connection: join_group(connection, project, group_id, case, job_ids))

    def refuse(self, project: str, group_id: str, case: int, code: str, detail: str) -> None:
        """Notes that nothing of a case could be taken.

        Raises:
            UnknownGroup: the project has no such group.
        """

        def refuse(connection: Connection) -> None:
            _check(connection, project, group_id)
            mine = {"project": project, "group_id": group_id, "case_number": case}
            _forget_refusal(connection, project, group_id, case)
            connection.execute(insert(group_refusals).values(**mine, code=code, detail=detail))

        self._database.transact(refuse)

    def cancel(self, project: str, group_id: str) -> Sequence[Stopped]:
        """Cancels every unfinished job of a group: queued ones at once, running ones are asked to end."""
        stopped = []
        for ids in chunks(self._job_ids(project, group_id, ACTIVE_STATES), _CHUNK):
            work = partial(cancel_jobs, project=project, job_ids=ids, now=self._clock())
            stopped.extend(self._database.transact(work))
        return stopped

    def retry(self, project: str, group_id: str, *, staged: Callable[[str], bool]) -> Sequence[JobRecord]:
        """Queues the failed and cancelled jobs of a group again; those that cannot be retried stay as they are.

        Args:
            project: the group's project.
            group_id: the group.
            staged: tells whether the files of an upload are still there.

        Returns:
            The jobs that are queued again.
        """
        queued = []
        for ids in chunks(self._job_ids(project, group_id, _GIVEN_UP), _CHUNK):
            work = partial(retry_jobs, project=project, job_ids=ids, now=self._clock(), staged=staged)
            queued.extend(self._database.transact(work))
        return queued

    def _job_ids(self, project: str, group_id: str, states: Collection[str]) -> Sequence[str]:
        query = (
            select(group_jobs.c.job_id)
            .distinct()
            .select_from(_with_jobs())
            .where(group_jobs.c.project == project, group_jobs.c.group_id == group_id, jobs.c.state.in_(states))
        )
        with self._database.read() as connection:
            # In one order, so that two who change the same jobs do not wait for each other.
            return sorted(connection.execute(query).scalars())


def join_group(connection: Connection, project: str, group_id: str, case: int | None, job_ids: Collection[str]) -> None:
    """Makes jobs part of a group (inside a transaction).

    A case that is sent again stands as it is now: that it was refused, or that jobs failed which made the same, is forgotten.

    Raises:
        UnknownGroup: the project has no such group.
    """
    _check(connection, project, group_id)
    number = 0 if case is None else case
    mine = _case(project, group_id, number)
    known = set(connection.execute(select(group_jobs.c.job_id).where(mine)).scalars())
    row = {"project": project, "group_id": group_id, "case_number": number}
    rows = [{**row, "job_id": job_id} for job_id in dict.fromkeys(job_ids) if job_id not in known]
    if rows:
        connection.execute(insert(group_jobs), rows)
    _forget_refusal(connection, project, group_id, number)
    if known:
        _forget_failures(connection, mine, set(job_ids))


def _with_jobs(*, outer: bool = False) -> FromClause:
    same = and_(jobs.c.project == group_jobs.c.project, jobs.c.job_id == group_jobs.c.job_id)
    return group_jobs.join(jobs, same, isouter=outer)


def _case(project: str, group_id: str, number: int) -> ColumnElement[bool]:
    return and_(group_jobs.c.project == project, group_jobs.c.group_id == group_id, group_jobs.c.case_number == number)


def _check(connection: Connection, project: str, group_id: str) -> None:
    # Locked, so that two requests for one case do not write the same row.
    query = select(groups.c.group_id).where(groups.c.project == project, groups.c.group_id == group_id)
    if connection.execute(query.with_for_update()).first() is None:
        msg = f"There is no group {group_id[:40]}: make it first."
        raise UnknownGroup(msg)


def _forget_refusal(connection: Connection, project: str, group_id: str, case: int) -> None:
    which = and_(
        group_refusals.c.project == project,
        group_refusals.c.group_id == group_id,
        group_refusals.c.case_number == case,
    )
    connection.execute(delete(group_refusals).where(which))


def _forget_failures(connection: Connection, mine: ColumnElement[bool], job_ids: set[str]) -> None:
    named = (jobs.c.job_id, jobs.c.kind, jobs.c.state, jobs.c.bag_id, jobs.c.series_uid, jobs.c.study_uid)
    rows = connection.execute(select(*named).select_from(_with_jobs()).where(mine)).mappings().all()
    made = {_work(row) for row in rows if row["job_id"] in job_ids}
    stale = [
        row["job_id"]
        for row in rows
        if row["job_id"] not in job_ids and row["state"] in _GIVEN_UP and _work(row) in made
    ]
    if stale:
        connection.execute(delete(group_jobs).where(mine, group_jobs.c.job_id.in_(stale)))


def _work(row: RowMapping) -> tuple[str, str]:
    """What a job makes, whichever job makes it."""
    return row["kind"], row["bag_id"] or row["series_uid"] or row["study_uid"] or row["job_id"]
