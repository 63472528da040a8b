"""What verifying and collecting ask of the catalogue. Everything goes in pages: a million bags never lie in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, delete, literal, select, tuple_

from slicebank_store.blobs.keys import BlobKind, KeyParts, parse_key
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.planning import plan_kept
from slicebank_store.catalogue.revisions import load_revision, lock_series
from slicebank_store.catalogue.tables import bags, heads, jobs, predictions, stacks
from slicebank_store.recipe import PIPELINE_VERSION, Recipe
from slicebank_store.types import BagLevel, JobKind, JobState, Priority

PAGE = 500
"""Rows or keys looked at together; SQLite before 3.32 takes 999 parameters in a statement."""

_TRAIN = JobKind.TRAIN.value


@dataclass(frozen=True, slots=True)
class NamedBlob:
    """A blob that the catalogue names.

    Attributes:
        owner: bag id, head id, or SeriesInstanceUID of kept pixels.
        size_bytes: as recorded; None for kept pixels.
        sha256: as recorded, hex; None for kept pixels.
        shape: slices, rows and columns of kept pixels; None for others.
    """

    kind: BlobKind
    project: str
    owner: str
    key: str
    size_bytes: int | None
    sha256: str | None
    shape: tuple[int, int, int] | None = None


class Fate(StrEnum):
    """What a stored blob is to the catalogue."""

    NAMED = "named"
    LIVE = "live"  # the lease under which it was written still holds: it may be committed at any moment
    ORPHAN = "orphan"  # its job is known here, and nobody can commit it any more
    FOREIGN = "foreign"  # nothing here made it: another catalogue, a newer one than was restored, or a person


class Upkeep:
    """The part of the catalogue that verifies and cleans."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def named_blobs(self) -> Iterator[NamedBlob]:
        """Every blob that rows name: bags, then heads, then kept pixels; each in a view that is a page old at most."""
        yield from self._stored(BlobKind.BAG, bags, bags.c.bag_id)
        yield from self._stored(BlobKind.HEAD, heads, heads.c.head_id)
        names = ("project", "series_uid", "revision", "stack", "n_slices", "rows", "columns", "pixels_key")
        kept = select(*(stacks.c[name] for name in names)).where(stacks.c.pixels_key.is_not(None))
        for row in self._pages(kept, stacks):
            shape = (row["n_slices"], row["rows"], row["columns"])
            yield NamedBlob(BlobKind.PIXELS, row["project"], row["series_uid"], row["pixels_key"], None, None, shape)

    def _stored(self, kind: BlobKind, table: Table, owner: ColumnElement[str]) -> Iterator[NamedBlob]:
        columns = (table.c.project, owner, table.c.blob_key, table.c.size_bytes, table.c.sha256)
        for row in self._pages(select(*columns).where(table.c.blob_key.is_not(None)), table):
            yield NamedBlob(kind, *row.values())

    def still_named(self, blob: NamedBlob) -> bool:
        """Whether a row names the blob now: it may have been deleted since it was listed."""
        place = _PLACES[blob.kind]
        query = select(place.key).where(place.project == blob.project, place.owner == blob.owner, place.key == blob.key)
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def fates(self, keys: Sequence[str]) -> dict[str, Fate]:
        """What stored blobs are to the catalogue.

        The jobs are looked at before the rows: a blob whose lease did not hold at the first look cannot be committed
        after it, so that a row is there at the second look or never will be.

        Args:
            keys: as listed by the backend, at most `PAGE`.
        """
        parts = {key: parse_key(key) for key in keys}
        with self._database.read() as connection:
            makers = _makers(connection, [each for each in parts.values() if each is not None])
        fates = {key: _fate(each, makers.get(_maker(each)) if each else None) for key, each in parts.items()}
        unsettled = {key: each for key, each in parts.items() if fates[key] is not Fate.LIVE}
        with self._database.read() as connection:
            for key in _named(connection, unsettled, makers):
                fates[key] = Fate.NAMED
        return fates

    def knows_blobs(self) -> bool:
        """Whether any row names a blob."""
        return next(self.named_blobs(), None) is not None

    def pixels_of(self, bag: NamedBlob) -> str | None:
        """Key of the kept pixels that a bag can be made from again; None where none are kept."""
        same = and_(*(stacks.c[name] == bags.c[name] for name in ("project", "series_uid", "revision", "stack")))
        query = select(stacks.c.pixels_key).join_from(bags, stacks, same)
        with self._database.read() as connection:
            found: str | None = connection.execute(
                query.where(bags.c.project == bag.project, bags.c.bag_id == bag.owner)
            ).scalar_one_or_none()
        return found

    def remake_bag(self, bag: NamedBlob, *, pixels_key: str | None) -> Remade:
        """Removes a bag's row with its predictions, and queues a job that makes it again.

        Args:
            bag: left alone where its row names another blob by now.
            pixels_key: kept pixels that are there; None queues nothing.
        """
        project, bag_id = bag.project, bag.owner

        def remake(connection: Connection) -> Remade:
            this = and_(bags.c.project == project, bags.c.bag_id == bag_id, bags.c.blob_key == bag.key)
            found = connection.execute(select(bags.c.series_uid).where(this)).scalar_one_or_none()
            if found is None:
                return Remade(removed=False)
            # The series is locked before its bags, as everywhere.
            owner = lock_series(connection, project, found)
            row = connection.execute(select(bags).where(this).with_for_update()).mappings().first()
            if row is None:
                return Remade(removed=False)
            mine = and_(predictions.c.project == project, predictions.c.bag_id == bag_id)
            connection.execute(delete(predictions).where(mine))
            connection.execute(delete(bags).where(this))
            recipe = Recipe.from_dict(row["recipe"])
            known = load_revision(connection, owner, row["revision"]) if owner is not None else None
            stack = known.rows.get(row["stack"]) if known is not None else None
            if known is None or stack is None or recipe.pipeline_version != PIPELINE_VERSION:
                return Remade(removed=True)
            if pixels_key is None or stack["pixels_key"] != pixels_key:
                return Remade(removed=True)
            plan = plan_kept(connection, known, stack, recipe, BagLevel(row["level"]), row["dim"], Priority.BULK)
            return Remade(removed=True, job_id=plan.apply(connection, self._clock()).job_id if plan else None)

        return self._database.transact(remake)

    def _pages(self, query: Select[Any], table: Table) -> Iterator[RowMapping]:
        """All rows of a query by the primary key, each page in a transaction of its own."""
        key = list(table.primary_key.columns)
        after: tuple[Any, ...] | None = None
        while True:
            page = query
            if after is not None:
                values = [literal(value, column.type) for column, value in zip(key, after, strict=True)]
                page = query.where(tuple_(*key) > tuple_(*values))
            with self._database.read() as connection:
                rows = connection.execute(page.order_by(*key).limit(PAGE)).mappings().all()
            yield from rows
            if len(rows) < PAGE:
                return
            after = tuple(rows[-1][column.name] for column in key)


@dataclass(frozen=True, slots=True)
class Remade:
    """What became of a damaged bag.

    Attributes:
        removed: whether its row was there and is gone.
        job_id: of the job that makes it again.
    """

    removed: bool
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Columns that name blobs, and the ids by which an index finds them."""

    project: ColumnElement[str]
    owner: ColumnElement[str]
    key: ColumnElement[str]


_PLACES = {
    BlobKind.BAG: _Place(bags.c.project, bags.c.bag_id, bags.c.blob_key),
    BlobKind.HEAD: _Place(heads.c.project, heads.c.head_id, heads.c.blob_key),
    BlobKind.PIXELS: _Place(stacks.c.project, stacks.c.series_uid, stacks.c.pixels_key),
}


@dataclass(frozen=True, slots=True)
class _Job:
    state: str
    fence: int
    series_uid: str | None


_Maker = tuple[str, str]


def _maker(parts: KeyParts) -> _Maker:
    """Under what the job that wrote a blob is found."""
    return ("head", parts.made or "") if parts.kind is BlobKind.HEAD else ("job", parts.job_id or "")


def _makers(connection: Connection, parts: Collection[KeyParts]) -> dict[_Maker, _Job]:
    """The jobs that wrote blobs, as far as this catalogue knows them."""
    columns = (jobs.c.job_id, jobs.c.head_id, jobs.c.state, jobs.c.fence, jobs.c.series_uid)
    by_job = {each.job_id for each in parts if each.job_id is not None}
    by_head = {each.made for each in parts if each.kind is BlobKind.HEAD}
    found: dict[_Maker, _Job] = {}
    if by_job:
        for row in connection.execute(select(*columns).where(jobs.c.job_id.in_(by_job))):
            found["job", row.job_id] = _Job(row.state, row.fence, row.series_uid)
    if by_head:
        # No index: heads are few, and a page of keys reads the jobs once.
        training = select(*columns).where(jobs.c.kind == _TRAIN, jobs.c.head_id.in_(by_head))
        for row in connection.execute(training):
            found["head", row.head_id] = _Job(row.state, row.fence, None)
    return found


def _fate(parts: KeyParts | None, job: _Job | None) -> Fate:
    """What a blob is, unless a row names it."""
    if parts is None or job is None or parts.fence > job.fence:
        return Fate.FOREIGN
    return Fate.LIVE if job.state == JobState.RUNNING.value and parts.fence == job.fence else Fate.ORPHAN


def _named(connection: Connection, keys: Mapping[str, KeyParts | None], makers: Mapping[_Maker, _Job]) -> set[str]:
    """Those of the keys that rows name."""
    # Ids by project: SQLite finds no index for pairs of columns.
    ids: dict[tuple[BlobKind, str], set[str]] = defaultdict(set)
    # Keys of another form, and pixels of a job that is not known: by the key itself, which no index serves. They are rare.
    odd: list[str] = []
    for key, parts in keys.items():
        if parts is None:
            odd.append(key)
        elif parts.kind is not BlobKind.PIXELS:
            ids[parts.kind, parts.project].add(parts.made or "")
        elif (job := makers.get(_maker(parts))) is not None:
            ids[parts.kind, parts.project].add(job.series_uid or "")
        else:
            odd.append(key)
    found: set[str] = set()
    for (kind, project), values in ids.items():
        place = _PLACES[kind]
        query = select(place.key).where(place.project == project, place.owner.in_(values), place.key.is_not(None))
        found |= set(connection.execute(query).scalars())
    if odd:
        for place in _PLACES.values():
            found |= set(connection.execute(select(place.key).where(place.key.in_(odd))).scalars())
    return found & set(keys)
