"""Heads that answer about every new bag of their recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Connection, delete, insert, or_, select
from sqlalchemy.exc import SQLAlchemyError

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import NewJob, insert_job
from slicebank_store.catalogue.records import BagRecord
from slicebank_store.catalogue.serving_tables import on_embedded
from slicebank_store.catalogue.tables import heads, revisions
from slicebank_store.identity import prediction_id
from slicebank_store.types import HeadState, JobKind, Priority

log = structlog.get_logger()


class OnEmbedded:
    """Which heads each project names."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def get(self, project: str) -> tuple[str, ...]:
        """Names and ids of heads, in the order of their names."""
        query = select(on_embedded.c.head).where(on_embedded.c.project == project).order_by(on_embedded.c.head)
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def put(self, project: str, named: Sequence[str]) -> None:
        """Names the heads anew; bags that are there already are not asked about."""

        def write(connection: Connection) -> None:
            kept = set(connection.execute(select(on_embedded.c.head).where(on_embedded.c.project == project)).scalars())
            gone = on_embedded.c.head.not_in(named)
            connection.execute(delete(on_embedded).where(on_embedded.c.project == project, gone))
            rows = [
                {"project": project, "head": head, "created_at": self._clock()}
                for head in dict.fromkeys(named)
                if head not in kept
            ]
            if rows:
                connection.execute(insert(on_embedded), rows)

        self._database.transact(write)


def ask_heads(connection: Connection, bag: BagRecord, now: float) -> None:
    """Makes the predict jobs that a new bag calls for, in the transaction that makes the bag; failing to harms the bag in no way.

    A name means its promoted version now. Bags of other stacks than the default one are not asked about.
    """
    try:
        with connection.begin_nested():
            if not _is_default(connection, bag):
                return
            for head_id in _asked(connection, bag):
                insert_job(connection, _job(bag, head_id), now)
    except SQLAlchemyError:
        log.exception("on_embedded_failed", bag_id=bag.bag_id)


def forget_head(connection: Connection, project: str, head_id: str, name: str | None) -> None:
    """A head that is deleted is no longer asked; its name neither, once no version is left."""
    gone = [head_id] if name is None else [head_id, name]
    connection.execute(delete(on_embedded).where(on_embedded.c.project == project, on_embedded.c.head.in_(gone)))


def _asked(connection: Connection, bag: BagRecord) -> list[str]:
    named = select(on_embedded.c.head).where(on_embedded.c.project == bag.project)
    names = list(connection.execute(named).scalars())
    if not names:
        return []
    query = (
        select(heads.c.head_id)
        .where(
            heads.c.project == bag.project,
            heads.c.recipe_digest == bag.recipe_digest,
            heads.c.state == HeadState.READY.value,
            or_(heads.c.head_id.in_(names), heads.c.name.in_(names) & heads.c.promoted.is_(True)),
        )
        .order_by(heads.c.head_id)
    )
    return list(connection.execute(query).scalars())


def _is_default(connection: Connection, bag: BagRecord) -> bool:
    query = select(revisions.c.default_stack).where(
        revisions.c.project == bag.project,
        revisions.c.series_uid == bag.series_uid,
        revisions.c.revision == bag.revision,
    )
    return connection.execute(query).scalar_one_or_none() == bag.stack


def _job(bag: BagRecord, head_id: str) -> NewJob:
    return NewJob(
        project=bag.project,
        kind=JobKind.PREDICT,
        priority=Priority.BULK,
        series_uid=bag.series_uid,
        bag_id=bag.bag_id,
        head_id=head_id,
        prediction_id=prediction_id(bag.project, head_id, bag.bag_id),
        params={"head_id": head_id, "bag_id": bag.bag_id, "bag_ids": [bag.bag_id], "rule": "on_embedded"},
    )
