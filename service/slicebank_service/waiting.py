"""Waiting for jobs: woken by the hub, seldom looking for itself, holding nothing meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio.to_thread
from fastapi import Request

from slicebank_service.context import Context
from slicebank_service.job_looks import Seen
from slicebank_store.catalogue import JobRecord, PredictionRecord


async def wait_until_final(
    context: Context, request: Request, job_ids: Sequence[str], wait_s: float
) -> list[JobRecord]:
    """Waits until all jobs are final, the time is over, or the client has gone.

    Args:
        context: the application's collaborators.
        request: the request that waits.
        job_ids: jobs of the project; one that no longer exists is left out.
        wait_s: longest wait, seconds; the settings bound it further.

    Returns:
        The jobs as they are now, in the order given.
    """
    return [seen.job for seen in await see_when_final(context, request, job_ids, wait_s)]


async def see_when_final(context: Context, request: Request, job_ids: Sequence[str], wait_s: float) -> list[Seen]:
    """As `wait_until_final`, with the places of those that are still queued."""

    async def look() -> list[Seen]:
        found = await context.looks.get_many(job_ids)
        return [found[job_id] for job_id in job_ids if job_id in found]

    if wait_s <= 0:
        return await look()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(wait_s, context.settings.max_wait_seconds)
    with (
        context.hub.listen(context.project, job_ids, ends_only=True) as listener,
        context.metrics.long_polls.track_inprogress(),
        waiting_uncounted(request),
    ):
        while True:
            seen = await look()
            left = deadline - loop.time()
            if left <= 0 or all(item.job.state.final for item in seen) or await request.is_disconnected():
                return seen
            await listener.changed(min(left, poll_seconds(context)))


async def wait_for_prediction(
    context: Context, request: Request, job: JobRecord, wait_s: float
) -> PredictionRecord | JobRecord:
    """Waits for the answer that a predict job makes, as `wait_until_final` for jobs.

    Looks for the answer itself, and at the job only where there is none: the answer of a stored bag is milliseconds away, and finding
    places in the queue would take as long as computing it.

    Args:
        context: the application's collaborators.
        request: the request that waits.
        job: of kind predict.
        wait_s: longest wait, seconds; the settings bound it further.

    Returns:
        The prediction, or the job as it is now.
    """
    catalogue, project = context.catalogue, context.project

    def look() -> PredictionRecord | JobRecord:
        return (
            catalogue.predictions.get(project, job.prediction_id or "")
            or catalogue.jobs.get(project, job.job_id)
            or job
        )

    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(wait_s, context.settings.max_wait_seconds)
    with (
        context.hub.listen(project, [job.job_id], ends_only=True) as listener,
        context.metrics.long_polls.track_inprogress(),
        waiting_uncounted(request),
    ):
        while True:
            found = await anyio.to_thread.run_sync(look)
            left = deadline - loop.time()
            if isinstance(found, PredictionRecord) or found.state.final or left <= 0:
                return found
            if await request.is_disconnected():
                return found
            await listener.changed(min(left, poll_seconds(context)))


def poll_seconds(context: Context) -> float:
    """How long a waiting request relies on news: hundreds that look every second would keep the catalogue busy for nothing."""
    settings = context.settings
    return settings.connected_poll_seconds if context.hub.connected else settings.poll_seconds


@contextmanager
def waiting_uncounted(request: Request) -> Iterator[None]:
    """Leaves the time inside out of the request's time, which shall tell how quick the service is."""
    started = time.perf_counter()
    try:
        yield
    finally:
        request.state.waited_s = time.perf_counter() - started
