"""Finding the revision that an upload repeats, and writing a new one (inside a transaction)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from slicebank_store.catalogue.incoming import IncomingSeries, IncomingStack
from slicebank_store.catalogue.series import describe_stack
from slicebank_store.catalogue.tables import bags, revisions, series, stacks
from slicebank_store.types import JSON

StackRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A revision as stored.

    Attributes:
        owner: the series' row, with what the series is called by: study, patient, body part.
        rows: its stacks by number.
    """

    owner: Mapping[str, Any]
    revision: int
    default_stack: int
    options: JSON
    rows: dict[int, StackRow]

    def described(self) -> list[JSON]:
        """Its stacks as users see them."""
        return [
            describe_stack(dict(row), default=number == self.default_stack) for number, row in sorted(self.rows.items())
        ]

    def containing(self, stack: IncomingStack) -> StackRow | None:
        """The stack that has all slices of an uploaded one, the one of its number if possible."""
        wanted = frozenset(stack.slice_digests)
        for row in sorted(self.rows.values(), key=lambda row: (row["stack"] != stack.stack, row["stack"])):
            if wanted <= frozenset(row["slice_digests"]):
                return row
        return None


def lock_series(connection: Connection, project: str, series_uid: str) -> dict[str, Any] | None:
    """The series' row, locked against other writers; None where there is none."""
    query = select(series).where(series.c.project == project, series.c.series_uid == series_uid)
    row = connection.execute(query.with_for_update()).mappings().first()
    return None if row is None else {str(name): value for name, value in row.items()}


def rename_owner(connection: Connection, owner: dict[str, Any], incoming: IncomingSeries) -> dict[str, Any]:
    """Gives a known series, and its bags, the patient and study that its sender names now; the series' row as it is then."""
    named = {"study_uid": incoming.study_uid, "patient": incoming.patient}
    for table in (series, bags):
        which = and_(table.c.project == incoming.project, table.c.series_uid == incoming.series_uid)
        connection.execute(update(table).where(which).values(**named))
    return {**owner, **named}


def load_revision(connection: Connection, owner: Mapping[str, Any], revision: int) -> Known | None:
    """A revision of a series with its stacks and slices; None where there is none."""
    found = load_revisions(connection, owner, revision)
    return found[0] if found else None


def load_revisions(connection: Connection, owner: Mapping[str, Any], revision: int | None = None) -> list[Known]:
    """Every revision of a series, or one."""
    mine = and_(revisions.c.project == owner["project"], revisions.c.series_uid == owner["series_uid"])
    inner = and_(stacks.c.project == owner["project"], stacks.c.series_uid == owner["series_uid"])
    query = select(revisions).where(mine)
    members = select(stacks).where(inner)
    if revision is not None:
        query = query.where(revisions.c.revision == revision)
        members = members.where(stacks.c.revision == revision)
    by_revision: dict[int, dict[int, StackRow]] = {}
    for row in connection.execute(members).mappings():
        by_revision.setdefault(row["revision"], {})[row["stack"]] = {str(name): value for name, value in row.items()}
    return [
        Known(owner, row["revision"], row["default_stack"], row["options"], by_revision.get(row["revision"], {}))
        for row in connection.execute(query.order_by(revisions.c.revision)).mappings()
    ]


def repeated_by(connection: Connection, owner: Mapping[str, Any], incoming: IncomingSeries) -> list[Known]:
    """Revisions that hold every slice of an upload: equal ones first, then the current one, then newer before older."""
    uploaded = _digests(incoming)
    found = []
    for known in load_revisions(connection, owner):
        stored = frozenset(digest for row in known.rows.values() for digest in row["slice_digests"])
        if uploaded <= stored:
            found.append(((uploaded == stored, known.revision == owner["current_revision"], known.revision), known))
    return [known for _, known in sorted(found, key=lambda pair: pair[0], reverse=True)]


def add_revision(
    connection: Connection, owner: Mapping[str, Any] | None, incoming: IncomingSeries, now: float
) -> Known:
    """Writes an upload as the next revision of its series, and as the current one unless that has more slices."""
    n_slices = sum(stack.n_slices for stack in incoming.stacks)
    named = {"study_uid": incoming.study_uid, "patient": incoming.patient, "body_part": incoming.body_part}
    mine = {"project": incoming.project, "series_uid": incoming.series_uid}
    if owner is None:
        number = 1
        values = {**mine, **named, "current_revision": number, "created_at": now, "updated_at": now}
        connection.execute(insert(series).values(values))
    else:
        query = select(revisions.c.revision, revisions.c.n_slices).where(
            revisions.c.project == incoming.project, revisions.c.series_uid == incoming.series_uid
        )
        sizes = {row.revision: row.n_slices for row in connection.execute(query)}
        number = max(sizes) + 1
        newer = {**named, "current_revision": number} if n_slices >= sizes[owner["current_revision"]] else {}
        which = and_(series.c.project == incoming.project, series.c.series_uid == incoming.series_uid)
        connection.execute(update(series).where(which).values(**newer, updated_at=now))
    connection.execute(
        insert(revisions).values(
            **mine,
            revision=number,
            n_slices=n_slices,
            default_stack=incoming.default_stack,
            options=incoming.options,
            warnings=list(incoming.warnings),
            created_at=now,
        )
    )
    rows = {stack.stack: {**mine, "revision": number, **_stack_row(stack)} for stack in incoming.stacks}
    connection.execute(insert(stacks), list(rows.values()))
    return Known({**mine, **named}, number, incoming.default_stack, incoming.options, dict(rows))


def _stack_row(stack: IncomingStack) -> dict[str, Any]:
    return {
        "stack": stack.stack,
        "content_digest": stack.content_digest,
        "n_slices": stack.n_slices,
        "slices": stack.slices,
        "slice_digests": list(stack.slice_digests),
        "geometry": stack.geometry,
        "rescale": stack.rescale,
        "rows": stack.rows,
        "columns": stack.columns,
        "field_of_view_mm": stack.field_of_view_mm,
        "axial": stack.axial,
        "pixels_key": None,
    }


def _digests(incoming: IncomingSeries) -> frozenset[str]:
    return frozenset(digest for stack in incoming.stacks for digest in stack.slice_digests)
