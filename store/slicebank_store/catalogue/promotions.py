"""What a name of heads means, and meant: promoting and rolling back, with a history that stays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, and_, insert, select, update

from slicebank_store.catalogue.records import HeadRecord
from slicebank_store.catalogue.serving_tables import head_promotions
from slicebank_store.catalogue.tables import heads
from slicebank_store.errors import NoEarlierVersion


class Reason(StrEnum):
    """What made a name mean a version."""

    TRAINED = "trained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Promotion:
    """That a name came to mean a version.

    Attributes:
        number: counts from 1 within a name.
        reason: what made it so; `deleted` means that the version before was.
        back_to: number of the promotion that rolling back returns to; None where there is none.
        promoted_at: seconds since 1970.
    """

    number: int
    head_id: str
    version: int
    reason: Reason
    back_to: int | None
    promoted_at: float


def history(connection: Connection, project: str, name: str) -> tuple[Promotion, ...]:
    """Every promotion of a name, oldest first."""
    table = head_promotions
    query = select(table).where(table.c.project == project, table.c.name == name).order_by(table.c.number)
    return tuple(
        Promotion(row.number, row.head_id, row.version, Reason(row.reason), row.back_to, row.promoted_at)
        for row in connection.execute(query)
    )


def promote(connection: Connection, head: HeadRecord, reason: Reason, now: float) -> None:
    """Makes a ready version what its name means, inside a transaction that has locked the versions of the name."""
    if head.promoted:
        return
    past = history(connection, head.project, head.name)
    _set(connection, head, reason, now, number=len(past) + 1, back_to=past[-1].number if past else None)


def roll_back(connection: Connection, versions: dict[str, HeadRecord], project: str, name: str, now: float) -> str:
    """Makes a name mean the version that it meant before, inside a transaction that has locked its versions.

    Rolling back again goes further back; a promotion in between is undone first.

    Args:
        connection: in a write transaction.
        versions: the ready versions of the name, by id.
        project: the project.
        name: the name.
        now: seconds since 1970.

    Returns:
        The id of the version that the name means now.

    Raises:
        NoEarlierVersion: it meant nothing else before that is still there.
    """
    past = history(connection, project, name)
    by_number = {promotion.number: promotion for promotion in past}
    current = past[-1] if past else None
    target = by_number.get(current.back_to or 0) if current is not None else None
    while target is not None and (
        target.head_id not in versions or (current is not None and target.head_id == current.head_id)
    ):
        target = by_number.get(target.back_to or 0)
    if target is None:
        msg = f"{name} meant no other version before that is still there: promote the one that it shall mean."
        raise NoEarlierVersion(msg)
    head = versions[target.head_id]
    _set(connection, head, Reason.ROLLED_BACK, now, number=len(past) + 1, back_to=target.back_to)
    return head.head_id


def _set(
    connection: Connection, head: HeadRecord, reason: Reason, now: float, *, number: int, back_to: int | None
) -> None:
    named = and_(heads.c.project == head.project, heads.c.name == head.name)
    connection.execute(update(heads).where(named, heads.c.promoted.is_(True)).values(promoted=False))
    connection.execute(update(heads).where(named, heads.c.head_id == head.head_id).values(promoted=True))
    connection.execute(
        insert(head_promotions).values(
            project=head.project,
            name=head.name,
            number=number,
            head_id=head.head_id,
            version=head.version,
            reason=reason.value,
            back_to=back_to,
            promoted_at=now,
        )
    )
