"""Telling the workers of a job; a broker that is away delays the job and loses nothing."""

from __future__ import annotations

from contextlib import suppress

import structlog

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import CatalogueUnavailable, QueueUnavailable
from slicebank_store.queue import TaskQueue
from slicebank_store.types import JobKind, Priority

log = structlog.get_logger()


def dispatch(catalogue: Catalogue, queue: TaskQueue, kind: JobKind, job_id: str, priority: Priority) -> None:
    """Sends a job's message; where that fails, the workers' sweep sends it later."""
    try:
        queue.dispatch(kind, job_id, priority)
    except QueueUnavailable:
        log.warning("dispatch_delayed", job_id=job_id, kind=kind.value)
        return
    # The job stands, and so does its message; the sweep sends a second one, which does no harm.
    with suppress(CatalogueUnavailable):
        catalogue.jobs.mark_dispatched(job_id)


def announce(catalogue: Catalogue, queue: TaskQueue, kind: JobKind, job_id: str, priority: Priority) -> None:
    """Sends the message of a job that was made as `announced`: one write less before somebody who waits is answered."""
    try:
        queue.dispatch(kind, job_id, priority)
    except QueueUnavailable:
        log.warning("dispatch_delayed", job_id=job_id, kind=kind.value)
        with suppress(CatalogueUnavailable):
            catalogue.jobs.undelivered(job_id)
