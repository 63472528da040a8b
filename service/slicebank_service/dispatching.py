"""Telling the workers of a job; a broker that is away delays the job and loses nothing."""

from __future__ import annotations

import structlog

from slicebank_service.context import Context
from slicebank_store.errors import QueueUnavailable
from slicebank_store.types import JobKind, Priority

log = structlog.get_logger()


def dispatch(context: Context, kind: JobKind, job_id: str, priority: Priority) -> None:
    """Sends a job's message; where that fails, the workers' sweep sends it later."""
    try:
        context.queue.dispatch(kind, job_id, priority)
    except QueueUnavailable:
        log.warning("dispatch_delayed", job_id=job_id, kind=kind.value)
        return
    context.catalogue.jobs.mark_dispatched(job_id)
