"""Bags."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from sqlalchemy import ColumnElement, and_, func, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.records import BagRecord, Page
from slicebank_store.catalogue.rows import columns_of, to_record
from slicebank_store.catalogue.tables import bags, revisions, series

# SQLite before 3.32 takes 999 parameters in a statement.
_IN_CHUNK = 500

_Ranked = tuple[tuple[bool, bool, int, int], BagRecord]


class Bags:
    """Bags of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, bag_id: str) -> BagRecord | None:
        """The bag, or None."""
        query = select(bags).where(bags.c.project == project, bags.c.bag_id == bag_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(BagRecord, row)

    def list(
        self,
        project: str,
        *,
        series_uid: str | None = None,
        study_uid: str | None = None,
        patient: str | None = None,
        encoder: str | None = None,
        recipe_digest: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[BagRecord]:
        """Bags of a project, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(bags).where(bags.c.project == project)
        for column, value in (
            (bags.c.series_uid, series_uid),
            (bags.c.study_uid, study_uid),
            (bags.c.patient, patient),
            (bags.c.encoder, encoder),
            (bags.c.recipe_digest, recipe_digest),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection, query, created_at=bags.c.created_at, identifier=bags.c.bag_id, limit=limit, cursor=cursor
            )
        return Page([to_record(BagRecord, row) for row in rows], following)

    def recipes(self, project: str, encoder: str, *, limit: int = 8) -> tuple[BagRecord, ...]:
        """One bag of each recipe under which an encoder has bags, at most `limit`."""
        one = (
            select(func.min(bags.c.bag_id))
            .where(bags.c.project == project, bags.c.encoder == encoder)
            .group_by(bags.c.recipe_digest)
            .limit(limit)
        )
        with self._database.read() as connection:
            ids = connection.execute(one).scalars().all()
            query = select(bags).where(bags.c.project == project, bags.c.bag_id.in_(ids)).order_by(bags.c.bag_id)
            return tuple(to_record(BagRecord, row) for row in connection.execute(query).mappings())

    def current(
        self,
        project: str,
        *,
        encoder: str | None = None,
        recipe_digest: str | None = None,
        series_uids: Collection[str] | None = None,
        study_uids: Collection[str] | None = None,
        patients: Collection[str] | None = None,
    ) -> tuple[BagRecord, ...]:
        """The bag that stands for each series under each recipe, ordered by series and recipe.

        Of several bags of a series under one recipe (older revisions, other stacks) the one of the current revision
        goes first, then that of its default stack, then the newest revision, then the lowest stack.

        Args:
            project: the project.
            encoder: only bags of this encoder.
            recipe_digest: only bags of this recipe.
            series_uids: only bags of these series.
            study_uids: only bags of these studies.
            patients: only bags of these patients.
        """
        exact = ((bags.c.encoder, encoder), (bags.c.recipe_digest, recipe_digest))
        conditions = [bags.c.project == project, *(column == value for column, value in exact if value is not None)]
        members = ((bags.c.series_uid, series_uids), (bags.c.study_uid, study_uids), (bags.c.patient, patients))
        wanted = [(column, frozenset(values)) for column, values in members if values is not None]
        best: dict[tuple[str, str], _Ranked] = {}
        for chunk in _chunks(wanted[0][1]) if wanted else [None]:
            narrowed = conditions if chunk is None else [*conditions, wanted[0][0].in_(chunk)]
            for rank, bag in self._ranked(narrowed):
                if any(getattr(bag, str(column.key)) not in values for column, values in wanted[1:]):
                    continue
                key = (bag.series_uid, bag.recipe_digest)
                if key not in best or rank > best[key][0]:
                    best[key] = (rank, bag)
        return tuple(best[key][1] for key in sorted(best))

    def _ranked(self, conditions: Iterable[ColumnElement[bool]]) -> Iterator[_Ranked]:
        query = (
            select(*columns_of(BagRecord, bags), series.c.current_revision, revisions.c.default_stack)
            .join(series, and_(series.c.project == bags.c.project, series.c.series_uid == bags.c.series_uid))
            .join(
                revisions,
                and_(
                    revisions.c.project == bags.c.project,
                    revisions.c.series_uid == bags.c.series_uid,
                    revisions.c.revision == bags.c.revision,
                ),
            )
            .where(*conditions)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            current = row["revision"] == row["current_revision"]
            default = row["stack"] == row["default_stack"]
            yield (current, default, row["revision"], -row["stack"]), to_record(BagRecord, row)


def _chunks(values: Collection[str]) -> Iterator[list[str] | None]:
    rest = iter(sorted(set(values)))
    while chunk := list(islice(rest, _IN_CHUNK)):
        yield chunk
