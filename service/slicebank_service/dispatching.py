"""Telling the workers of a job; a broker that is away delays the job and loses nothing."""

from __future__ import annotations

from contextlib import suppress

import structlog

from slicebank_service.context import Context
from slicebank_store.errors import CatalogueUnavailable, QueueUnavailable
from slicebank_store.types import JobKind, Priority

log = structlog.get_logger()


def dispatch(context: Context, kind: JobKind, job_id: str, priority: Priority) -> None:
    """Sends a job's message; where that fails, the workers' sweep sends it later."""
    try:
        context.queue.dispatch(kind, job_id, priority)
    except QueueUnavailable:
        log.warning("dispatch_delayed", job_id=job_id, kind=kind.value)
        return
    # The job stands, and so does its message; the sweep sends a second one, which does no harm.
    with suppress(CatalogueUnavailable):
        context.catalogue.jobs.mark_dispatched(job_id)
