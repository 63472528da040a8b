"""From a Celery message to the ends of jobs: claim, hold, run, and write down what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import structlog

from slicebank_store.catalogue.jobs import Lease
from slicebank_store.errors import CatalogueUnavailable
from slicebank_store.types import JobKind, JobState, Priority
from slicebank_worker.errors import Interrupted, JobCancelled, JobError, WorkerStopping
from slicebank_worker.leases import Hold
from slicebank_worker.metrics import Outcome
from slicebank_worker.runtime import Runtime
from slicebank_worker.shortages import shortage_of
from slicebank_worker.slots import Slots

log = structlog.get_logger()

JobRunner = Callable[[Hold], bool]
"""Does the work of one job and commits it under the lease; False where the lease had been lost."""


def run_jobs(
    runtime: Runtime,
    queue: str,
    runner: JobRunner,
    *,
    kinds: Collection[JobKind] = tuple(JobKind),
    slots: Slots | None = None,
) -> None:
    """Runs jobs of a queue, one after another, as long as any is due: a message is a hint that there is something to do, and no more.

    Args:
        runtime: the process's collaborators.
        queue: `JobKind.queue` of what the worker does.
        runner: does the work.
        kinds: of the jobs to run.
        slots: the hands to count them by; by default those of the process.
    """
    hands = runtime.slots if slots is None else slots
    try:
        while not runtime.leases.stopping.is_set():
            with hands.take(partial(_claim_next, runtime, queue, kinds)) as lease:
                if lease is None:
                    return
                _run_leased(runtime, lease, runner)
    except CatalogueUnavailable as error:
        # Whoever sweeps when it is back sends messages for all that is due, and gives away what was held here.
        log.warning("catalogue_away", detail=str(error))


def _claim_next(
    runtime: Runtime, queue: str, kinds: Collection[JobKind], priorities: tuple[Priority, ...]
) -> Lease | None:
    return runtime.catalogue.jobs.claim_next(
        queue, worker=runtime.name, lease_s=runtime.settings.lease_seconds, priorities=priorities, kinds=kinds
    )


def _run_leased(runtime: Runtime, lease: Lease, runner: JobRunner) -> None:
    job = lease.job
    with structlog.contextvars.bound_contextvars(job_id=job.job_id, request_id=job.request_id):
        runtime.notifier.publish(job.project, job.job_id, JobState.RUNNING)
        with runtime.leases.hold(lease) as hold, runtime.gate.enter(alone=lease.alone):
            committed = _run_held(runtime, lease, hold, runner)
        _clean_up(runtime, lease, committed=committed)


def _run_held(runtime: Runtime, lease: Lease, hold: Hold, runner: JobRunner) -> bool:
    """Runs a job; returns whether it succeeded under this lease."""
    jobs = runtime.catalogue.jobs
    ended = partial(runtime.meter.ended, lease.job.kind, stages=hold.stages)
    bound = log.bind(kind=lease.job.kind.value, attempt=lease.job.attempts)
    committed = False
    try:
        hold.check()
        committed = runner(hold)
        ended(Outcome.SUCCEEDED if committed else Outcome.NOT_COMMITTED)
        bound.info("job_done" if committed else "job_not_committed", stages=hold.stages)
    except JobCancelled:
        jobs.cancelled(lease)
        ended(Outcome.CANCELLED)
        bound.info("job_cancelled")
    except WorkerStopping:
        jobs.release(lease)
        ended(Outcome.HANDED_BACK)
        bound.info("job_handed_back")
    except Interrupted as reason:
        ended(Outcome.LOST)
        bound.warning("job_interrupted", reason=type(reason).__name__)
    except JobError as error:
        state = jobs.fail(
            lease, error.code, str(error), retryable=error.retryable, stages=hold.stages, result=error.result
        )
        ended(Outcome.ATTEMPT_FAILED, code=error.code)
        bound.warning("job_attempt_failed", code=error.code, state=state.value)
    except Exception as error:  # noqa: BLE001 - told apart below; none may end the thread
        shortage = shortage_of(error)
        if shortage is not None:
            jobs.postpone(lease, shortage.code, shortage.detail, wait_s=runtime.settings.postpone_seconds)
            ended(Outcome.POSTPONED, code=shortage.code)
            bound.warning("job_postponed", code=shortage.code, detail=shortage.detail)
            return committed
        ended(Outcome.ATTEMPT_FAILED, code="internal_error")
        # An error nobody foresaw is the job's too: written down, and tried again.
        bound.exception("job_attempt_crashed")
        detail = f"{type(error).__name__} while the job ran; the worker's log of {runtime.name} says more"
        jobs.fail(lease, "internal_error", detail, retryable=True, stages=hold.stages)
    return committed


def _clean_up(runtime: Runtime, lease: Lease, *, committed: bool) -> None:
    """Removes staged files that nobody needs any more, and tells who waits."""
    job = lease.job
    if job.staging is not None and not runtime.catalogue.jobs.staging_needed(job.project, job.staging):
        runtime.staging.remove(job.staging)
    ended = None if committed else runtime.catalogue.jobs.get(job.project, job.job_id)
    if committed or ended is not None:
        runtime.notifier.publish(job.project, job.job_id, JobState.SUCCEEDED if ended is None else ended.state)
    runtime.sweeper.wake()
