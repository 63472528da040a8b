"""Deleting: rows here, in one transaction that notes the blobs (`doomed`); these afterwards by the caller.

A job that runs meanwhile has lost its lease by then, so that what it computed cannot be committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from slicebank_store.catalogue.doomed import doom
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.heads import lock_versions
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.jobs.transitions import finish
from slicebank_store.catalogue.on_embedded import forget_head
from slicebank_store.catalogue.promotions import Reason, promote
from slicebank_store.catalogue.records import HeadRecord
from slicebank_store.catalogue.revisions import lock_series
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.serving_tables import prediction_bags
from slicebank_store.catalogue.tables import (
    bags,
    head_series,
    heads,
    jobs,
    known_uploads,
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
        blob_keys: blobs to delete; they are noted until then.
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

        def remove(connection: Connection) -> Deleted:
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
            _forget_uploads(connection, project, series_uid)
            for table in (stacks, revisions, series):
                connection.execute(delete(table).where(table.c.project == project, table.c.series_uid == series_uid))
            doom(connection, project, keys, self._clock())
            return Deleted(found=True, blob_keys=tuple(keys), job_ids=cancelled, uploads=uploads)

        return self._database.transact(remove)

    def delete_bag(self, project: str, bag_id: str) -> Deleted:
        """Removes a bag and its predictions; jobs that make or read it are cancelled."""
        this = and_(bags.c.project == project, bags.c.bag_id == bag_id)

        def remove(connection: Connection) -> Deleted:
            owner = connection.execute(select(bags.c.series_uid).where(this)).scalar_one_or_none()
            if owner is not None:
                lock_series(connection, project, owner)
            cancelled, uploads = self._cancel(connection, and_(jobs.c.project == project, jobs.c.bag_id == bag_id))
            keys = _delete_bags(connection, this)
            doom(connection, project, keys, self._clock())
            return Deleted(found=bool(keys), blob_keys=tuple(keys), job_ids=cancelled, uploads=uploads)

        return self._database.transact(remove)

    def delete_head(self, project: str, head_id: str) -> Deleted:
        """Removes a head version and its predictions; a name it stood for goes to the newest ready version left."""

        def remove(connection: Connection) -> Deleted:
            this = and_(heads.c.project == project, heads.c.head_id == head_id)
            name = connection.execute(select(heads.c.name).where(this)).scalar_one_or_none()
            if name is None:
                return Deleted(found=False)
            cancelled, uploads = self._cancel(connection, and_(jobs.c.project == project, jobs.c.head_id == head_id))
            _delete_predictions(connection, and_(predictions.c.project == project, predictions.c.head_id == head_id))
            versions = {row["head_id"]: row for row in lock_versions(connection, project, name)}
            row = versions.pop(head_id, None)
            if row is None:
                return Deleted(found=False)
            connection.execute(delete(heads).where(this))
            forget_head(connection, project, head_id, None if versions else name)
            ready = [
                to_record(HeadRecord, each) for each in versions.values() if each["state"] == HeadState.READY.value
            ]
            if row["promoted"] and ready:
                newest = max(ready, key=lambda head: head.version)
                promote(connection, newest, Reason.DELETED, self._clock())
            keys = (row["blob_key"],) if row["blob_key"] else ()
            doom(connection, project, keys, self._clock())
            return Deleted(found=True, blob_keys=keys, job_ids=cancelled, uploads=uploads)

        return self._database.transact(remove)

    def _cancel(self, connection: Connection, which: ColumnElement[bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        uploads = select(jobs.c.staging).where(which, jobs.c.staging.is_not(None)).distinct()
        staged = tuple(str(upload) for upload in connection.execute(uploads).scalars())
        # From older to newer: a job that waits is younger than the one it waits for, and whoever ends that locks it next.
        query = select(jobs).where(which, jobs.c.state.in_(ACTIVE_STATES)).order_by(jobs.c.created_at, jobs.c.job_id)
        cancelled = []
        for row in connection.execute(query.with_for_update()).mappings().all():
            finish(connection, row, JobState.CANCELLED, self._clock())
            cancelled.append(str(row["job_id"]))
        return tuple(cancelled), staged


def _delete_bags(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    query = select(bags.c.project, bags.c.bag_id, bags.c.blob_key).where(which).order_by(bags.c.bag_id)
    found = connection.execute(query.with_for_update()).all()
    for row in found:
        together = select(prediction_bags.c.prediction_id).where(
            prediction_bags.c.project == row.project, prediction_bags.c.bag_id == row.bag_id
        )
        for about in (predictions.c.bag_id == row.bag_id, predictions.c.prediction_id.in_(together)):
            _delete_predictions(connection, and_(predictions.c.project == row.project, about))
    connection.execute(delete(bags).where(which))
    return [str(row.blob_key) for row in found]


def _delete_predictions(connection: Connection, which: ColumnElement[bool]) -> None:
    query = select(predictions.c.prediction_id).where(which).order_by(predictions.c.prediction_id)
    connection.execute(query.with_for_update()).all()
    connection.execute(delete(predictions).where(which))


def _forget_uploads(connection: Connection, project: str, series_uid: str) -> None:
    """Forgets uploads that brought a series, its other series too: what they brought is no longer all there."""
    brought = select(known_uploads.c.digest).where(
        known_uploads.c.project == project, known_uploads.c.series_uid == series_uid
    )
    digests = connection.execute(brought).scalars().all()
    connection.execute(
        delete(known_uploads).where(known_uploads.c.project == project, known_uploads.c.digest.in_(digests))
    )


def _mark_heads(connection: Connection, project: str, series_uid: str) -> None:
    learnt = select(head_series.c.head_id).where(
        head_series.c.project == project, head_series.c.series_uid == series_uid
    )
    which = and_(heads.c.project == project, heads.c.head_id.in_(learnt))
    connection.execute(select(heads.c.head_id).where(which).order_by(heads.c.head_id).with_for_update()).all()
    connection.execute(update(heads).where(which).values(training_data_deleted=True))
