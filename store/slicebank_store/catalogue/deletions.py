"""Deleting: rows here, in one transaction; the blobs afterwards by the caller.

A job that runs meanwhile has lost its lease by then, so that what it computed cannot be committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.heads import promote
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.jobs.transitions import finish
from slicebank_store.catalogue.records import HeadRecord
from slicebank_store.catalogue.revisions import lock_series
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import (
    bags,
    head_series,
    heads,
    jobs,
    manifests,
    predictions,
    revisions,
    series,
    stacks,
)
from slicebank_store.types import HeadState, JobState


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion leaves to do.

    Attributes:
        found: whether there was anything; deleting twice is no error.
        blob_keys: blobs to delete.
        job_ids: jobs that were cancelled.
        uploads: upload ids whose files no longer serve these jobs; another job may still need them.
    """

    found: bool
    blob_keys: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


class Deletions:
    """Removes series, bags and heads with what hangs on them."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def delete_series(self, project: str, series_uid: str) -> Deleted:
        """Removes a series, its bags, predictions and pixels; cancels its jobs, marks heads that learnt from it."""
        with self._database.write() as connection:
            owner = lock_series(connection, project, series_uid)
            which_jobs = and_(jobs.c.project == project, jobs.c.series_uid == series_uid)
            cancelled, uploads = self._cancel(connection, which_jobs)
            # A manifest tells geometry and pseudonyms: nothing of a deleted series stays.
            mine = select(jobs.c.job_id).where(which_jobs)
            connection.execute(
                update(manifests)
                .where(manifests.c.project == project, manifests.c.job_id.in_(mine))
                .values(manifest={"revision": 0, "stack": 0})
            )
            if owner is None:
                return Deleted(found=False, job_ids=cancelled, uploads=uploads)
            keys = _delete_bags(connection, and_(bags.c.project == project, bags.c.series_uid == series_uid))
            pixels = select(stacks.c.pixels_key).where(
                stacks.c.project == project, stacks.c.series_uid == series_uid, stacks.c.pixels_key.is_not(None)
            )
            keys += [str(key) for key in connection.execute(pixels).scalars()]
            _mark_heads(connection, project, series_uid)
            for table in (stacks, revisions, series):
                connection.execute(delete(table).where(table.c.project == project, table.c.series_uid == series_uid))
        return Deleted(found=True, blob_keys=tuple(keys), job_ids=cancelled, uploads=uploads)

    def delete_bag(self, project: str, bag_id: str) -> Deleted:
        """Removes a bag and its predictions; jobs that make or read it are cancelled."""
        with self._database.write() as connection:
            cancelled, uploads = self._cancel(connection, and_(jobs.c.project == project, jobs.c.bag_id == bag_id))
            keys = _delete_bags(connection, and_(bags.c.project == project, bags.c.bag_id == bag_id))
        return Deleted(found=bool(keys), blob_keys=tuple(keys), job_ids=cancelled, uploads=uploads)

    def delete_head(self, project: str, head_id: str) -> Deleted:
        """Removes a head version and its predictions; a name it stood for goes to the newest ready version left."""
        with self._database.write() as connection:
            this = and_(heads.c.project == project, heads.c.head_id == head_id)
            row = connection.execute(select(heads).where(this).with_for_update()).mappings().first()
            if row is None:
                return Deleted(found=False)
            cancelled, uploads = self._cancel(connection, and_(jobs.c.project == project, jobs.c.head_id == head_id))
            connection.execute(
                delete(predictions).where(predictions.c.project == project, predictions.c.head_id == head_id)
            )
            connection.execute(delete(heads).where(this))
            if row["promoted"]:
                ready = select(heads).where(
                    heads.c.project == project, heads.c.name == row["name"], heads.c.state == HeadState.READY.value
                )
                heir = connection.execute(ready.order_by(heads.c.version.desc()).limit(1)).mappings().first()
                if heir is not None:
                    promote(connection, to_record(HeadRecord, heir))
        keys = (row["blob_key"],) if row["blob_key"] else ()
        return Deleted(found=True, blob_keys=keys, job_ids=cancelled, uploads=uploads)

    def _cancel(self, connection: Connection, which: ColumnElement[bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        uploads = select(jobs.c.staging).where(which, jobs.c.staging.is_not(None)).distinct()
        staged = tuple(str(upload) for upload in connection.execute(uploads).scalars())
        query = select(jobs).where(which, jobs.c.state.in_(ACTIVE_STATES)).with_for_update()
        cancelled = []
        for row in connection.execute(query).mappings().all():
            finish(connection, row, JobState.CANCELLED, self._clock())
            cancelled.append(str(row["job_id"]))
        return tuple(cancelled), staged


def _delete_bags(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    keys = [str(key) for key in connection.execute(select(bags.c.blob_key).where(which).with_for_update()).scalars()]
    mine = select(bags.c.bag_id).where(which)
    project = select(bags.c.project).where(which)
    connection.execute(delete(predictions).where(predictions.c.project.in_(project), predictions.c.bag_id.in_(mine)))
    connection.execute(delete(bags).where(which))
    return keys


def _mark_heads(connection: Connection, project: str, series_uid: str) -> None:
    learnt = select(head_series.c.head_id).where(
        head_series.c.project == project, head_series.c.series_uid == series_uid
    )
    which = and_(heads.c.project == project, heads.c.head_id.in_(learnt))
    connection.execute(update(heads).where(which).values(training_data_deleted=True))
