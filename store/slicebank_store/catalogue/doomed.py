"""Blobs whose rows are deleted and that may still be there: written in the deletion's own transaction, until they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, literal, select, tuple_

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.tables import doomed_blobs

BlobId = tuple[str, str]
"""Project and key of a blob."""

_THIS = delete(doomed_blobs).where(
    doomed_blobs.c.project == bindparam("of_project"), doomed_blobs.c.blob_key == bindparam("key")
)


class Doomed:
    """What is left to delete of the blobs that deletions named."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, project: str | None = None, *, after: BlobId | None = None, limit: int = 500) -> tuple[BlobId, ...]:
        """Blobs that are to go, by project and key.

        Args:
            project: whose; None for all.
            after: the last one of the page before.
            limit: how many at most.
        """
        place = (doomed_blobs.c.project, doomed_blobs.c.blob_key)
        query = select(*place).order_by(*place).limit(limit)
        if project is not None:
            query = query.where(doomed_blobs.c.project == project)
        if after is not None:
            query = query.where(tuple_(*place) > tuple_(literal(after[0]), literal(after[1])))
        with self._database.read() as connection:
            return tuple((str(row.project), str(row.blob_key)) for row in connection.execute(query))

    def forget(self, blobs: Sequence[BlobId]) -> None:
        """Notes that blobs are gone."""
        if blobs:
            with self._database.write() as connection:
                connection.execute(_THIS, [{"of_project": project, "key": key} for project, key in sorted(blobs)])


def doom(connection: Connection, project: str, keys: Iterable[str], now: float) -> None:
    """Notes in a deletion's transaction which blobs are to go with its rows."""
    if unique := sorted(set(keys)):
        # A key that is noted already must not fail the deletion. A series has few bags: one statement takes their keys.
        connection.execute(
            delete(doomed_blobs).where(doomed_blobs.c.project == project, doomed_blobs.c.blob_key.in_(unique))
        )
        connection.execute(
            insert(doomed_blobs), [{"project": project, "blob_key": key, "created_at": now} for key in unique]
        )
