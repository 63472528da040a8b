"""Groups: jobs that were asked for together, case by case, with one progress."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, insert, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.tables import group_jobs, group_refusals, groups
from slicebank_store.errors import UnknownGroup
from slicebank_store.identity import new_id


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


def join_group(connection: Connection, project: str, group_id: str, case: int | None, job_ids: Collection[str]) -> None:
    """Makes jobs part of a group (inside a transaction).

    Raises:
        UnknownGroup: the project has no such group.
    """
    _check(connection, project, group_id)
    number = 0 if case is None else case
    query = select(group_jobs.c.job_id).where(
        group_jobs.c.project == project,
        group_jobs.c.group_id == group_id,
        group_jobs.c.case_number == number,
    )
    known = set(connection.execute(query).scalars())
    mine = {"project": project, "group_id": group_id, "case_number": number}
    rows = [{**mine, "job_id": job_id} for job_id in dict.fromkeys(job_ids) if job_id not in known]
    if rows:
        connection.execute(insert(group_jobs), rows)
    _forget_refusal(connection, project, group_id, number)


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
