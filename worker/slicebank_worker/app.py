"""The Celery application of one worker process. A message says that a job came; which job is next, the catalogue says."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from slicebank_store.queue import make_celery
from slicebank_store.types import JobKind
from slicebank_worker.jobs.outcome import JobRunner, run_jobs
from slicebank_worker.runtime import Role, Runtime

log = structlog.get_logger()


def build_app(runtime: Runtime, role: Role, runner: JobRunner) -> Celery:
    """A Celery application that runs the jobs of one role, but for imports and pulls, which have hands of their own.

    Args:
        runtime: the process's collaborators.
        role: names the task and its queue.
        runner: does the work of one job.
    """
    kinds = [kind for kind in JobKind if not kind.transfers]

    app = make_celery(runtime.settings.resolved_broker_url)

    def work(job_id: str) -> None:
        log.debug("message", job_id=job_id)
        runtime.sweeper.imports.ring()  # it may be about one
        run_jobs(runtime, role.value, runner, kinds=kinds)

    app.task(name=f"slicebank.{role.value}", ignore_result=True)(work)
    return app


def run_app(app: Celery, role: Role, *, concurrency: int, log_level: str, on_stop: Callable[[], None]) -> int:
    """Works until SIGTERM: threads, not processes, so that one engine serves all jobs and nothing forks after CUDA.

    Args:
        app: from `build_app`.
        role: the queue to serve.
        concurrency: jobs at once.
        log_level: for Celery's own log lines.
        on_stop: called when shutdown begins, while jobs still run.
    """

    def ready(**_: object) -> None:
        log.info("worker_ready", role=role.value)

    def stopping(**_: object) -> None:
        on_stop()

    worker_ready.connect(ready, weak=False)
    worker_shutting_down.connect(stopping, weak=False)
    worker = app.Worker(
        pool="threads",
        concurrency=concurrency,
        queues=[role.value],
        hostname=f"{role.value}@%h",
        loglevel=log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        optimization="fair",
    )
    worker.start()
    return int(worker.exitcode or 0)
