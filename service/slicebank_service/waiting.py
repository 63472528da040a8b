"""Waiting for jobs: woken by the hub, now and then looking for itself, holding nothing meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio.to_thread
from fastapi import Request

from slicebank_service.context import Context
from slicebank_store.catalogue import JobRecord


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
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(wait_s, context.settings.max_wait_seconds)

    def look() -> list[JobRecord]:
        found = (context.catalogue.jobs.get(context.project, job_id) for job_id in job_ids)
        return [job for job in found if job is not None]

    with context.hub.listen(context.project, job_ids) as listener:
        while True:
            jobs = await anyio.to_thread.run_sync(look)
            left = deadline - loop.time()
            if left <= 0 or all(job.state.final for job in jobs) or await request.is_disconnected():
                return jobs
            await listener.changed(min(left, context.settings.poll_seconds))
