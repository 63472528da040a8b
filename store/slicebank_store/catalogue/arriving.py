"""Jobs of studies whose files are still arriving: due when nothing has come for a while."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, and_, select, update

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs import Lease, NewJob
from slicebank_store.catalogue.jobs.new import active_twin, insert_job
from slicebank_store.catalogue.jobs.transitions import held_row
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.tables import jobs
from slicebank_store.types import JSON, JobKind, JobState

LONGEST_S = 3600.0
"""A study that something is sent of again and again is taken in after this time nevertheless."""


class Arriving:
    """The part of the catalogue that waits for studies to be whole."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def expect(self, new: NewJob, *, quiet_s: float) -> JobRecord:
        """Finds the job that takes a study's arriving files, and puts it off, or makes it.

        Args:
            new: of kind import, with study, staging and `arrival`; written where there is no such job.
            quiet_s: seconds from now until it is due, if nothing more comes.

        Returns:
            The job; its `staging` says where the files go.
        """

        def expect(connection: Connection) -> JobRecord:
            now = self._clock()
            found = active_twin(connection, new.project, new.subject)
            if found is None:
                return insert_job(connection, new, now)[0]
            due = min(now + quiet_s, found.created_at + LONGEST_S)
            which = and_(
                jobs.c.project == found.project,
                jobs.c.job_id == found.job_id,
                jobs.c.state == JobState.QUEUED.value,
                jobs.c.not_before < due,
            )
            connection.execute(update(jobs).where(which).values(not_before=due))
            return found

        return self._database.transact(expect)

    def close(self, lease: Lease) -> bool:
        """Ends the time in which files may join a running job: what comes from now on makes another one.

        Returns:
            False where the lease was lost.
        """
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return False
            which = and_(jobs.c.project == row["project"], jobs.c.job_id == row["job_id"])
            connection.execute(update(jobs).where(which).values(subject=f"{JobKind.IMPORT.value}:{row['job_id']}"))
        return True

    def hurry(self, project: str, study_uid: str, params: JSON | None = None) -> JobRecord | None:
        """Makes the job of a study due at once, and changes what it is asked for, where one waits."""

        def hurry(connection: Connection) -> JobRecord | None:
            subject = NewJob.study_subject(study_uid)
            query = select(jobs.c.job_id).where(
                jobs.c.project == project, jobs.c.subject == subject, jobs.c.state == JobState.QUEUED.value
            )
            job_id = connection.execute(query.with_for_update()).scalar_one_or_none()
            if job_id is None:
                return None
            values: JSON = {"not_before": self._clock()} | ({} if params is None else {"params": params})
            connection.execute(update(jobs).where(jobs.c.project == project, jobs.c.job_id == job_id).values(values))
            return active_twin(connection, project, subject)

        return self._database.transact(hurry)
