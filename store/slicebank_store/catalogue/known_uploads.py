"""What senders call the uploads that were taken in, so that they need not send them again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, insert, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.incoming import Submitted
from slicebank_store.catalogue.tables import known_uploads, series


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series that an upload brought.

    Attributes:
        stack: the first one that was asked for.
    """

    digest: str
    series_uid: str
    study_uid: str
    revision: int
    stack: int


class KnownUploads:
    """The part of the catalogue that remembers uploads by what their sender calls them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, project: str, digests: Collection[str]) -> dict[str, list[KnownSeries]]:
        """Series by digest; what is not known, or was deleted since, is left out."""
        same = and_(known_uploads.c.project == series.c.project, known_uploads.c.series_uid == series.c.series_uid)
        query = (
            select(known_uploads, series.c.study_uid)
            .join(series, same)
            .where(known_uploads.c.project == project, known_uploads.c.digest.in_(list(digests)))
            .order_by(known_uploads.c.digest, known_uploads.c.series_uid)
        )
        found: dict[str, list[KnownSeries]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                item = KnownSeries(row.digest, row.series_uid, row.study_uid, row.revision, row.stack)
                found.setdefault(row.digest, []).append(item)
        return found


def note_upload(connection: Connection, project: str, digest: str, submitted: Sequence[Submitted]) -> None:
    """Remembers which revision of a series an upload is; the newest word counts."""
    if not submitted:
        return
    first = submitted[0]
    which = and_(
        known_uploads.c.project == project,
        known_uploads.c.digest == digest,
        known_uploads.c.series_uid == first.series_uid,
    )
    connection.execute(delete(known_uploads).where(which))
    connection.execute(
        insert(known_uploads).values(
            project=project,
            digest=digest,
            series_uid=first.series_uid,
            revision=first.revision,
            stack=first.stack,
        )
    )
