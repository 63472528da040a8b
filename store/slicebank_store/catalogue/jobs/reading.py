"""Questions about jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import ACTIVE_STATES
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.records import JobRecord, Page
from slicebank_store.catalogue.rows import columns_of, to_record
from slicebank_store.catalogue.tables import jobs, manifests
from slicebank_store.errors import UnknownJob
from slicebank_store.types import JSON, JobKind, JobState

_IN_CHUNK = 500  # ids of one statement


class JobQueries:
    """The part of the ledger that only reads."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def get(self, project: str, job_id: str) -> JobRecord | None:
        """The job, or None."""
        return self._first(jobs.c.project == project, jobs.c.job_id == job_id)

    def get_many(self, project: str, job_ids: Collection[str]) -> dict[str, JobRecord]:
        """Many jobs by their ids, in hardly more time than one; those that are not there are left out."""
        query = select(*columns_of(JobRecord, jobs)).where(
            jobs.c.project == project, jobs.c.job_id.in_(bindparam("wanted", expanding=True))
        )
        wanted = iter(job_ids)
        found = {}
        with self._database.read() as connection:
            while chunk := [*islice(wanted, _IN_CHUNK)]:
                for row in connection.execute(query, {"wanted": chunk}).mappings():
                    found[str(row["job_id"])] = to_record(JobRecord, row)
        return found

    def active_for_bag(self, project: str, bag_id: str) -> JobRecord | None:
        """The unfinished job that makes a bag, or None."""
        return self._first(
            jobs.c.project == project,
            jobs.c.bag_id == bag_id,
            jobs.c.kind == JobKind.EMBED.value,
            jobs.c.state.in_(ACTIVE_STATES),
        )

    def latest_for_bag(self, project: str, bag_id: str) -> JobRecord | None:
        """The newest job that makes or made a bag, in whatever state, or None."""
        return self._first(jobs.c.project == project, jobs.c.bag_id == bag_id, jobs.c.kind == JobKind.EMBED.value)

    def latest_for_prediction(self, project: str, prediction_id: str) -> JobRecord | None:
        """The newest job that makes or made a prediction, in whatever state, or None."""
        return self._first(jobs.c.project == project, jobs.c.prediction_id == prediction_id)

    def list(
        self,
        project: str,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        series_uid: str | None = None,
        study_uid: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[JobRecord]:
        """Jobs of a project, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(*columns_of(JobRecord, jobs)).where(jobs.c.project == project)
        filters = (
            (jobs.c.state, state),
            (jobs.c.kind, kind),
            (jobs.c.series_uid, series_uid),
            (jobs.c.study_uid, study_uid),
        )
        for column, value in filters:
            if value is not None:
                query = query.where(column == str(value))
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection, query, created_at=jobs.c.created_at, identifier=jobs.c.job_id, limit=limit, cursor=cursor
            )
        return Page([to_record(JobRecord, row) for row in rows], following)

    def manifest(self, job_id: str) -> JSON:
        """The bulky part of what a job is to do.

        Raises:
            UnknownJob: there is no such job.
        """
        query = select(manifests.c.manifest).join(
            jobs, and_(jobs.c.project == manifests.c.project, jobs.c.job_id == manifests.c.job_id)
        )
        with self._database.read() as connection:
            found: JSON | None = connection.execute(query.where(jobs.c.job_id == job_id)).scalar_one_or_none()
        if found is None:
            msg = f"There is no job {job_id[:40]}: it was deleted, or the message is not from this catalogue."
            raise UnknownJob(msg)
        return found

    def staging_in_use(self, *, failed_within_s: float) -> set[str]:
        """Upload ids whose files somebody may still need.

        Args:
            failed_within_s: how long a failed job keeps its files, so that it can be retried.
        """
        lately = and_(jobs.c.state == JobState.FAILED.value, jobs.c.finished_at > self._clock() - failed_within_s)
        query = (
            select(jobs.c.staging)
            .where(jobs.c.staging.is_not(None), or_(jobs.c.state.in_(ACTIVE_STATES), lately))
            .distinct()
        )
        with self._database.read() as connection:
            return {str(staging) for staging in connection.execute(query).scalars()}

    def staging_needed(self, project: str, upload_id: str) -> bool:
        """Whether a job that is unfinished or failed names the upload; else its files can go at once."""
        return (
            self._first(
                jobs.c.project == project,
                jobs.c.staging == upload_id,
                jobs.c.state.in_((*ACTIVE_STATES, JobState.FAILED.value)),
            )
            is not None
        )

    def _first(self, *conditions: ColumnElement[bool] | Any) -> JobRecord | None:
        query = select(*columns_of(JobRecord, jobs)).where(*conditions)
        query = query.order_by(jobs.c.created_at.desc(), jobs.c.job_id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(JobRecord, row)
