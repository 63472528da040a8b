"""From a Celery message to a job's end: claim, hold, run, and write down what came of it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from slicebank_store.catalogue.jobs import Lease
from slicebank_store.types import JobState
from slicebank_worker.errors import Interrupted, JobCancelled, JobError, WorkerStopping
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

log = structlog.get_logger()

JobRunner = Callable[[Hold], bool]
"""Does the work of one job and commits it under the lease; False where the lease had been lost."""


def run_job(runtime: Runtime, job_id: str, runner: JobRunner) -> None:
    """Runs one job if it is to be had, and records its end.

    Args:
        runtime: the process's collaborators.
        job_id: whatever the message said; a job that is done, held elsewhere or not due is left alone.
        runner: does the work.
    """
    if runtime.leases.stopping.is_set():
        runtime.catalogue.jobs.undelivered(job_id)  # this message is spent; another worker's sweep sends the next
        return
    lease = runtime.catalogue.jobs.claim(job_id, worker=runtime.name, lease_s=runtime.settings.lease_seconds)
    if lease is None:
        log.info("job_not_claimable", job_id=job_id)
        return
    runtime.notifier.publish(lease.job.project, job_id, JobState.RUNNING)
    with runtime.leases.hold(lease) as hold, runtime.gate.enter(alone=lease.alone):
        _run_held(runtime, lease, hold, runner)
    _clean_up(runtime, lease)


def _run_held(runtime: Runtime, lease: Lease, hold: Hold, runner: JobRunner) -> None:
    jobs = runtime.catalogue.jobs
    bound = log.bind(job_id=lease.job.job_id, kind=lease.job.kind.value, attempt=lease.job.attempts)
    try:
        hold.check()
        committed = runner(hold)
        bound.info("job_done" if committed else "job_not_committed", stages=hold.stages)
    except JobCancelled:
        jobs.cancelled(lease)
        bound.info("job_cancelled")
    except WorkerStopping:
        jobs.release(lease)
        bound.info("job_handed_back")
    except Interrupted as reason:
        bound.warning("job_interrupted", reason=type(reason).__name__)
    except JobError as error:
        state = jobs.fail(lease, error.code, str(error), retryable=error.retryable, stages=hold.stages)
        bound.warning("job_attempt_failed", code=error.code, state=state.value)
    except Exception as error:  # noqa: BLE001 - an error nobody foresaw is the job's too: written down, and tried again
        bound.exception("job_attempt_crashed")
        detail = f"{type(error).__name__} while the job ran; the worker's log of {runtime.name} says more"
        jobs.fail(lease, "internal_error", detail, retryable=True, stages=hold.stages)


def _clean_up(runtime: Runtime, lease: Lease) -> None:
    """Removes staged files that nobody needs any more, and tells who waits."""
    job = lease.job
    if job.staging is not None and not runtime.catalogue.jobs.staging_needed(job.project, job.staging):
        runtime.staging.remove(job.staging)
    ended = runtime.catalogue.jobs.get(job.project, job.job_id)
    if ended is not None:
        runtime.notifier.publish(job.project, job.job_id, ended.state)
    runtime.sweeper.wake()
