"""The ledger: the truth about jobs. A Celery message only says "look at job X"."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, select, update

from slicebank_store.catalogue.evaluations import EvaluationOutcome, complete_evaluation
from slicebank_store.catalogue.jobs.claiming import due_row, take
from slicebank_store.catalogue.jobs.effects import add_bag, add_prediction, complete_head, keep_pixels
from slicebank_store.catalogue.jobs.lease import Beat, Lease
from slicebank_store.catalogue.jobs.new import NewJob, insert_job
from slicebank_store.catalogue.jobs.outcome import HeadOutcome
from slicebank_store.catalogue.jobs.retrying import retry_row
from slicebank_store.catalogue.jobs.sweeping import Sweeping
from slicebank_store.catalogue.jobs.transitions import BACKOFF_S, MAX_ATTEMPTS, finish, held_row, requeue
from slicebank_store.catalogue.on_embedded import ask_heads
from slicebank_store.catalogue.records import BagRecord, JobRecord, PredictionRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import jobs
from slicebank_store.errors import NotCancellable, UnknownJob
from slicebank_store.types import JSON, JobKind, JobState, Priority


class Jobs(Sweeping):
    """Jobs of all projects.

    Every word of a worker about a job carries its lease's fencing token, and counts only while that is the newest.
    """

    def create(self, new: NewJob) -> JobRecord:
        """Writes a job, or finds the unfinished one that makes the same thing.

        A dependency that has succeeded already is dropped; one that failed makes the job `failed` at once.
        """
        return self._database.transact(lambda connection: insert_job(connection, new, self._clock()))[0]

    def claim(self, job_id: str, *, worker: str, lease_s: float) -> Lease | None:
        """Takes a given queued job, exactly once among all who try.

        Args:
            job_id: the job.
            worker: who asks, for people to read.
            lease_s: seconds until the lease runs out without a heartbeat.

        Returns:
            The lease; None where the job is unknown, final, held, waiting for another, or in its back-off.
        """
        now = self._clock()
        with self._database.write() as connection:
            row = connection.execute(select(jobs).where(jobs.c.job_id == job_id).with_for_update()).mappings().first()
            if (
                row is None
                or row["state"] != JobState.QUEUED.value
                or row["waits_for"] is not None
                or row["not_before"] > now
            ):
                return None
            return take(connection, row, now, worker=worker, lease_s=lease_s)

    def claim_next(
        self,
        queue: str,
        *,
        worker: str,
        lease_s: float,
        priorities: Collection[Priority] = tuple(Priority),
        kinds: Collection[JobKind] = tuple(JobKind),
    ) -> Lease | None:
        """Takes the job of a queue whose turn it is, exactly once among all who try.

        Interactive jobs go before bulk jobs that have not waited `BULK_PATIENCE_S` longer; among equals the oldest goes first.

        Args:
            queue: `JobKind.queue` of the jobs that may be taken.
            worker: who asks, for people to read.
            lease_s: seconds until the lease runs out without a heartbeat.
            priorities: of the jobs that may be taken.
            kinds: of the jobs that may be taken.

        Returns:
            The lease; None where no job is due.
        """
        now = self._clock()
        with self._database.write() as connection:
            row = due_row(connection, [kind for kind in kinds if kind.queue == queue], priorities, now)
            return None if row is None else take(connection, row, now, worker=worker, lease_s=lease_s)

    def heartbeat(
        self,
        lease: Lease,
        *,
        lease_s: float,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        stages: JSON | None = None,
    ) -> Beat:
        """Renews a lease and notes progress.

        Args:
            lease: from `claim`.
            lease_s: seconds from now until it runs out.
            done: how far this run is. Beyond where any run was before, it clears the count of lost leases.
            total: how far it has to go.
            unit: of both: slices, folds.
            stages: seconds by stage so far.

        Returns:
            LOST where somebody else decides about the job now; CANCEL where its end was asked for.
        """
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return Beat.LOST
            values: dict[str, Any] = {"lease_until": self._clock() + lease_s}
            given = {"progress_done": done, "progress_total": total, "progress_unit": unit, "stages": stages}
            values |= {name: value for name, value in given.items() if value is not None}
            if done is not None and done > row["progress_best"]:
                values |= {"progress_best": done, "lost_leases": 0}
            self._set(connection, row, values)
        return Beat.CANCEL if row["cancel_requested"] else Beat.OK

    def succeed(
        self,
        lease: Lease,
        result: JSON,
        *,
        stages: JSON | None = None,
        bag: BagRecord | None = None,
        head: HeadOutcome | None = None,
        prediction: PredictionRecord | None = None,
        evaluation: EvaluationOutcome | None = None,
        pixels_key: str | None = None,
    ) -> bool:
        """Ends a job and writes what it made, in one transaction; jobs that wait for it may go on.

        Args:
            lease: from `claim`.
            result: what the job's readers are told.
            stages: seconds by stage.
            bag: the bag it made; its file must be durable under `blob_key`.
            head: the head version it trained.
            prediction: the answer it computed.
            evaluation: what it measured.
            pixels_key: where it kept the pixels of its stack.

        Returns:
            False, with nothing written, where the lease was lost or what the job hangs on was deleted meanwhile: the
            caller then deletes the blobs it put. True also where this very lease has ended the job already: who lost the
            connection while committing may ask again.
        """
        now = self._clock()
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return _ended_under(connection, lease)
            with connection.begin_nested() as effects:
                written = (
                    (bag is None or add_bag(connection, bag))
                    and (head is None or complete_head(connection, lease.job.project, head, now))
                    and (prediction is None or add_prediction(connection, prediction))
                    and (evaluation is None or complete_evaluation(connection, lease.job.project, evaluation, now))
                    and (pixels_key is None or keep_pixels(connection, row, pixels_key))
                )
                if not written:
                    effects.rollback()
            if not written:
                finish(connection, row, JobState.CANCELLED, now, stages=stages)
                return False
            finish(connection, row, JobState.SUCCEEDED, now, result=result, stages=stages)
            if bag is not None:
                ask_heads(connection, bag, now)
        return True

    def fail(
        self,
        lease: Lease,
        code: str,
        detail: str,
        *,
        retryable: bool,
        stages: JSON | None = None,
        result: JSON | None = None,
    ) -> JobState:
        """Ends an attempt that failed by the job's own fault.

        Args:
            lease: from `claim`.
            code: error code.
            detail: a sentence for people.
            retryable: whether another attempt may help; the third failure is the last in any case.
            stages: seconds by stage.
            result: what readers of a failed job are told beside the sentence.

        Returns:
            The job's state now: queued for another attempt, failed, cancelled if that was asked for, or, where the
            lease was lost, whatever it has become.
        """
        now = self._clock()
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return self._state(connection, lease)
            if row["cancel_requested"]:
                finish(connection, row, JobState.CANCELLED, now, stages=stages)
                return JobState.CANCELLED
            if retryable and row["attempts"] < MAX_ATTEMPTS:
                wait = BACKOFF_S[min(row["attempts"], len(BACKOFF_S)) - 1]
                requeue(connection, row, not_before=now + wait, error=(code, detail))
                return JobState.QUEUED
            finish(connection, row, JobState.FAILED, now, error=(code, detail), stages=stages, result=result)
        return JobState.FAILED

    def postpone(self, lease: Lease, code: str, detail: str, *, wait_s: float) -> JobState:
        """Hands a job back, uncounted, because something that every job needs is away: a disk, a store, a database.

        Args:
            lease: from `claim_next`.
            code: error code, shown with the queued job.
            detail: a sentence for people.
            wait_s: seconds until anybody may take it again.

        Returns:
            The job's state now: queued, cancelled if that was asked for, or, where the lease was lost, whatever it has become.
        """
        now = self._clock()
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return self._state(connection, lease)
            if row["cancel_requested"]:
                finish(connection, row, JobState.CANCELLED, now)
                return JobState.CANCELLED
            requeue(connection, row, not_before=now + wait_s, error=(code, detail), attempts=row["attempts"] - 1)
        return JobState.QUEUED

    def release(self, lease: Lease) -> None:
        """Hands a job back, uncounted, because its worker is stopping. Without effect where the lease was lost."""
        now = self._clock()
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is None:
                return
            if row["cancel_requested"]:
                finish(connection, row, JobState.CANCELLED, now)
            else:
                requeue(connection, row, not_before=now, attempts=row["attempts"] - 1)

    def cancelled(self, lease: Lease) -> None:
        """Confirms that the work on a cancelled job has ended. Without effect where the lease was lost."""
        with self._database.write() as connection:
            row = held_row(connection, lease)
            if row is not None:
                finish(connection, row, JobState.CANCELLED, self._clock())

    def request_cancel(self, project: str, job_id: str) -> JobRecord:
        """Ends a queued job at once, and asks a running one to end.

        Raises:
            UnknownJob: the project has no such job.
            NotCancellable: it succeeded or failed already.
        """
        with self._database.write() as connection:
            row = self._locked(connection, project, job_id)
            state = JobState(row["state"])
            if state in (JobState.SUCCEEDED, JobState.FAILED):
                msg = f"Job {job_id} is {state.value} already: there is nothing to cancel."
                raise NotCancellable(msg)
            if state is JobState.QUEUED:
                finish(connection, row, JobState.CANCELLED, self._clock())
            elif state is JobState.RUNNING:
                self._set(connection, row, {"cancel_requested": True})
            return to_record(JobRecord, self._locked(connection, project, job_id))

    def retry(self, project: str, job_id: str, *, staged: Callable[[str], bool] | None = None) -> JobRecord:
        """Queues a failed or cancelled job again, with all attempts.

        Args:
            project: the job's project.
            job_id: the job.
            staged: tells whether the files of an upload are still there; without it they are taken to be.

        Raises:
            UnknownJob: the project has no such job.
            NotRetryable: it did not fail, what it makes exists or is being made, or what it needs is gone.
        """

        def again(connection: Connection) -> JobRecord:
            row = self._locked(connection, project, job_id)
            retry_row(connection, row, self._clock(), staged)
            return to_record(JobRecord, self._locked(connection, project, job_id))

        return self._database.transact(again)

    def _locked(self, connection: Connection, project: str, job_id: str) -> RowMapping:
        query = select(jobs).where(jobs.c.project == project, jobs.c.job_id == job_id).with_for_update()
        row = connection.execute(query).mappings().first()
        if row is None:
            msg = f"There is no job {job_id[:40]}: see the list of jobs."
            raise UnknownJob(msg)
        return row

    @staticmethod
    def _state(connection: Connection, lease: Lease) -> JobState:
        """What became of a job whose lease was lost."""
        query = select(jobs.c.state).where(jobs.c.job_id == lease.job.job_id)
        return JobState(connection.execute(query).scalar_one_or_none() or JobState.CANCELLED.value)

    @staticmethod
    def _set(connection: Connection, row: RowMapping, values: dict[str, Any]) -> None:
        which = and_(jobs.c.project == row["project"], jobs.c.job_id == row["job_id"])
        connection.execute(update(jobs).where(which).values(values))


def _ended_under(connection: Connection, lease: Lease) -> bool:
    """Whether a job has succeeded under this lease and no other."""
    query = select(jobs.c.job_id).where(
        jobs.c.project == lease.job.project,
        jobs.c.job_id == lease.job.job_id,
        jobs.c.fence == lease.fence,
        jobs.c.state == JobState.SUCCEEDED.value,
    )
    return connection.execute(query).first() is not None
