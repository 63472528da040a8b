"""What senders call the uploads that were taken in, so that they need not send them again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, false, insert, or_, select

from slicebank_store.catalogue.chunks import chunks
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.incoming import Submitted
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.tables import bags, jobs, known_uploads, revisions, series, stacks
from slicebank_store.identity import bag_id
from slicebank_store.types import JobKind, JobState

# Digests or series of one statement; SQLite takes no more than a thousand alternatives.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series that an upload brought.

    Attributes:
        stack: the first one that was asked for.
        content_digest: of that stack.
        pixels_kept: whether its pixels are kept.
    """

    digest: str
    series_uid: str
    study_uid: str
    revision: int
    stack: int
    content_digest: str
    pixels_kept: bool


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A series of which nothing need be sent again.

    Attributes:
        bag_id: of the bag that is there or being made; None where kept pixels were asked for.
        job_id: the job that made it or is at work; None where no job tells.
        state: of that job.
    """

    known: KnownSeries
    bag_id: str | None
    job_id: str | None
    state: JobState


class KnownUploads:
    """The part of the catalogue that remembers uploads by what their sender calls them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, project: str, digest: str, submitted: Sequence[Submitted]) -> None:
        """Remembers what an upload brought, when all of it is taken in; the newest word counts."""
        first: dict[str, Submitted] = {}
        for item in submitted:
            first.setdefault(item.series_uid, item)

        def note(connection: Connection) -> None:
            which = and_(known_uploads.c.project == project, known_uploads.c.digest == digest)
            connection.execute(delete(known_uploads).where(which))
            # Held where the database can: one may be deleted meanwhile, and then the upload is no longer all there.
            held = 0
            for chunk in chunks(sorted(first), _CHUNK):
                there = [
                    and_(revisions.c.series_uid == uid, revisions.c.revision == first[uid].revision) for uid in chunk
                ]
                query = select(revisions.c.series_uid).where(revisions.c.project == project, or_(false(), *there))
                held += len(connection.execute(query.with_for_update(read=True, key_share=True)).all())
            if first and held == len(first):
                row = {"project": project, "digest": digest}
                rows = [
                    {**row, "series_uid": uid, "revision": item.revision, "stack": item.stack}
                    for uid, item in first.items()
                ]
                connection.execute(insert(known_uploads), rows)

        self._database.transact(note)

    def find(self, project: str, digests: Collection[str]) -> dict[str, list[KnownSeries]]:
        """Series by digest; what is not known, or was deleted since, is left out."""
        with self._database.read() as connection:
            return _find(connection, project, digests)

    def stored(
        self, project: str, digests: Collection[str], recipe_digest: str | None
    ) -> dict[str, list[StoredSeries]]:
        """Of which uploads everything is there or being made.

        Args:
            project: the project.
            digests: what the sender calls its uploads.
            recipe_digest: of the bags wanted; None asks for kept pixels.

        Returns:
            The series of each such upload; an upload of which one series lacks what is wanted is left out.
        """
        with self._database.read() as connection:
            found = _find(connection, project, digests)
            items = [item for known in found.values() for item in known]
            if recipe_digest is None:
                there = _with_pixels(connection, project, items)
            else:
                there = _with_bags(connection, project, items, recipe_digest)
        return {
            digest: [there[item] for item in known]
            for digest, known in found.items()
            if all(item in there for item in known)
        }


def _find(connection: Connection, project: str, digests: Collection[str]) -> dict[str, list[KnownSeries]]:
    same = and_(known_uploads.c.project == series.c.project, known_uploads.c.series_uid == series.c.series_uid)
    stack = and_(
        stacks.c.project == known_uploads.c.project,
        stacks.c.series_uid == known_uploads.c.series_uid,
        stacks.c.revision == known_uploads.c.revision,
        stacks.c.stack == known_uploads.c.stack,
    )
    query = (
        select(known_uploads, series.c.study_uid, stacks.c.content_digest, stacks.c.pixels_key)
        .join(series, same)
        .join(stacks, stack)
        .where(known_uploads.c.project == project)
        .order_by(known_uploads.c.digest, known_uploads.c.series_uid)
    )
    found: dict[str, list[KnownSeries]] = {}
    for chunk in chunks(dict.fromkeys(digests), _CHUNK):
        for row in connection.execute(query.where(known_uploads.c.digest.in_(chunk))):
            item = KnownSeries(
                row.digest,
                row.series_uid,
                row.study_uid,
                row.revision,
                row.stack,
                row.content_digest,
                row.pixels_key is not None,
            )
            found.setdefault(row.digest, []).append(item)
    return found


def _with_bags(
    connection: Connection, project: str, items: Iterable[KnownSeries], recipe_digest: str
) -> dict[KnownSeries, StoredSeries]:
    wanted = {item: bag_id(project, item.series_uid, item.content_digest, recipe_digest) for item in items}
    made: set[str] = set()
    told: dict[str, tuple[str, str]] = {}
    for chunk in chunks(sorted(set(wanted.values())), _CHUNK):
        made.update(
            connection.execute(
                select(bags.c.bag_id).where(bags.c.project == project, bags.c.bag_id.in_(chunk))
            ).scalars()
        )
        query = (
            select(jobs.c.bag_id, jobs.c.job_id, jobs.c.state)
            .where(jobs.c.project == project, jobs.c.bag_id.in_(chunk), jobs.c.kind == JobKind.EMBED.value)
            .order_by(jobs.c.bag_id, jobs.c.created_at)
        )
        for row in connection.execute(query):
            # The newest word, but for jobs that failed at what another had made.
            if row.state in (JobState.SUCCEEDED.value, *ACTIVE_STATES):
                told[row.bag_id] = (row.job_id, row.state)
    return {
        item: StoredSeries(item, bag, *_word(told, bag))
        for item, bag in wanted.items()
        if bag in made or (bag in told and told[bag][1] in ACTIVE_STATES)
    }


def _with_pixels(connection: Connection, project: str, items: Iterable[KnownSeries]) -> dict[KnownSeries, StoredSeries]:
    kept = [item for item in items if item.pixels_kept]
    told: dict[str, tuple[str, str]] = {}
    for chunk in chunks(sorted({item.series_uid for item in kept}), _CHUNK):
        query = (
            select(jobs.c.series_uid, jobs.c.job_id, jobs.c.state)
            .where(
                jobs.c.project == project,
                jobs.c.series_uid.in_(chunk),
                jobs.c.kind.in_((JobKind.EMBED.value, JobKind.IMPORT.value)),
                jobs.c.state == JobState.SUCCEEDED.value,
            )
            .order_by(jobs.c.series_uid, jobs.c.created_at)
        )
        told |= {row.series_uid: (row.job_id, row.state) for row in connection.execute(query)}
    return {item: StoredSeries(item, None, *_word(told, item.series_uid)) for item in kept}


def _word(told: Mapping[str, tuple[str, str]], key: str) -> tuple[str | None, JobState]:
    row = told.get(key)
    return (None, JobState.SUCCEEDED) if row is None else (row[0], JobState(row[1]))
