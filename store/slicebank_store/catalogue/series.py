"""Series and their revisions."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, RowMapping, Table, and_, bindparam, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.records import KeptStack, Page, RevisionRecord, SeriesRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import revisions, series, stacks
from slicebank_store.types import JSON

# Slices and their digests, some 100 kB a stack, are left out.
STACK_COLUMNS = [column for column in stacks.c if column.name not in ("slices", "slice_digests")]
# SQLite before 3.32 takes 999 parameters in a statement.
_IN_CHUNK = 500


class Series:
    """CT series of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, series_uid: str) -> SeriesRecord | None:
        """The series, or None."""
        query = select(series).where(series.c.project == project, series.c.series_uid == series_uid)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(SeriesRecord, row)

    def list(
        self,
        project: str,
        *,
        study_uid: str | None = None,
        patient: str | None = None,
        body_part: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[SeriesRecord]:
        """Series of a project, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(series).where(series.c.project == project)
        for column, value in (
            (series.c.study_uid, study_uid),
            (series.c.patient, patient),
            (series.c.body_part, body_part),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection,
                query,
                created_at=series.c.created_at,
                identifier=series.c.series_uid,
                limit=limit,
                cursor=cursor,
            )
        return Page([to_record(SeriesRecord, row) for row in rows], following)

    def current_revisions(self, project: str, series_uids: Collection[str]) -> dict[str, RevisionRecord]:
        """The current revision of each of many series, by SeriesInstanceUID; series that are not there are left out."""
        wanted: BindParameter[str] = bindparam("wanted", expanding=True)
        query, inner = (
            select(*columns)
            .join(series, _current(table))
            .where(table.c.project == project, table.c.series_uid.in_(wanted))
            for table, columns in ((revisions, list(revisions.c)), (stacks, STACK_COLUMNS))
        )
        inner = inner.order_by(stacks.c.stack)
        found = {}
        rest = iter(sorted(set(series_uids)))
        with self._database.read() as connection:
            while chunk := list(islice(rest, _IN_CHUNK)):
                members: dict[str, list[RowMapping]] = {}
                for row in connection.execute(inner, {"wanted": chunk}).mappings().all():
                    members.setdefault(row["series_uid"], []).append(row)
                for row in connection.execute(query, {"wanted": chunk}).mappings().all():
                    found[str(row["series_uid"])] = _revision(row, members.get(row["series_uid"], []))
        return found

    def kept_stacks(self, project: str) -> tuple[KeptStack, ...]:
        """The axial stacks of every series' current revision whose pixels are kept, in the order of their UIDs."""
        default = (stacks.c.stack == revisions.c.default_stack).label("default")
        mine = (stacks.c.series_uid, stacks.c.revision, stacks.c.stack, stacks.c.n_slices, stacks.c.geometry)
        query = (
            select(*mine, stacks.c.pixels_key, series.c.study_uid, series.c.patient, default)
            .join(series, _current(stacks))
            .join(
                revisions,
                and_(
                    revisions.c.project == stacks.c.project,
                    revisions.c.series_uid == stacks.c.series_uid,
                    revisions.c.revision == stacks.c.revision,
                ),
            )
            .where(stacks.c.project == project, stacks.c.pixels_key.is_not(None), stacks.c.axial)
            .order_by(stacks.c.series_uid, stacks.c.stack)
        )
        with self._database.read() as connection:
            return tuple(to_record(KeptStack, row) for row in connection.execute(query).mappings())

    def slices_of(self, project: str, series_uid: str, revision: int, stack: int) -> tuple[JSON, ...]:
        """One object a slice of a stack, inferior to superior, as in job manifests; none where the stack is gone."""
        query = select(stacks.c.slices).where(
            stacks.c.project == project,
            stacks.c.series_uid == series_uid,
            stacks.c.revision == revision,
            stacks.c.stack == stack,
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalar_one_or_none() or ())

    def revisions(self, project: str, series_uid: str) -> tuple[RevisionRecord, ...]:
        """Every revision of a series, the first one first."""
        query = select(revisions).where(revisions.c.project == project, revisions.c.series_uid == series_uid)
        inner = select(*STACK_COLUMNS).where(stacks.c.project == project, stacks.c.series_uid == series_uid)
        members: dict[int, list[RowMapping]] = {}
        with self._database.read() as connection:
            for row in connection.execute(inner.order_by(stacks.c.stack)).mappings():
                members.setdefault(row["revision"], []).append(row)
            rows = connection.execute(query.order_by(revisions.c.revision)).mappings().all()
        return tuple(_revision(row, members.get(row["revision"], [])) for row in rows)


def _current(table: Table) -> ColumnElement[bool]:
    return and_(
        table.c.project == series.c.project,
        table.c.series_uid == series.c.series_uid,
        table.c.revision == series.c.current_revision,
    )


def _revision(row: RowMapping, members: list[RowMapping]) -> RevisionRecord:
    described = [describe_stack(member, default=member["stack"] == row["default_stack"]) for member in members]
    return RevisionRecord(
        revision=row["revision"],
        n_slices=row["n_slices"],
        default_stack=row["default_stack"],
        stacks=described,
        options=row["options"],
        warnings=row["warnings"],
        pixels_kept=any(stack["pixels_kept"] for stack in described),
        created_at=row["created_at"],
    )


def describe_stack(row: RowMapping | dict[str, Any], *, default: bool) -> JSON:
    """What users see of a stack, as in `RevisionRecord.stacks`."""
    return {
        "stack": row["stack"],
        "n_slices": row["n_slices"],
        "content_digest": row["content_digest"],
        "geometry": row["geometry"],
        "rescale": row["rescale"],
        "rows": row["rows"],
        "columns": row["columns"],
        "field_of_view_mm": row["field_of_view_mm"],
        "axial": row["axial"],
        "default": default,
        "pixels_kept": row["pixels_key"] is not None,
    }
