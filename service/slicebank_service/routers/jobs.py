"""Jobs: what is being done, how far it is, and what came of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from slicebank_service.answers.jobs import JobPage, JobView, job_view
from slicebank_service.context import AskedSeriesUid, AskedStudyUid, Context, Ctx, Identifier
from slicebank_service.job_looks import Seen
from slicebank_service.removal import remove_uploads
from slicebank_service.waiting import poll_seconds, see_when_final, waiting_uncounted
from slicebank_store.catalogue import JobRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownJob
from slicebank_store.types import JobKind, JobState

router = APIRouter(prefix="/jobs", tags=["jobs"])

# Proxies and browsers close a stream that is silent for longer than some 30 to 60 s.
_KEEP_ALIVE_SECONDS = 15.0


@router.get("")
def list_jobs(
    context: Ctx,
    series_uid: AskedSeriesUid,
    study_uid: AskedStudyUid,
    state: JobState | None = None,
    kind: JobKind | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> JobPage:
    """Lists jobs, the newest first."""
    page = context.catalogue.jobs.list(
        context.project, state=state, kind=kind, series_uid=series_uid, study_uid=study_uid, limit=limit, cursor=cursor
    )
    places, now = context.standing.of(page.items), time.time()
    items = [job_view(job, place=places.get(job.job_id), now=now) for job in page.items]
    return JobPage(items=items, next_cursor=page.next_cursor)


@router.get("/{job_id}", response_model=JobView)
async def get_job(
    context: Ctx,
    request: Request,
    job_id: Identifier,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the job's end.")] = 0.0,
) -> Response:
    """Shows a job, at once or when it has ended."""
    seen = await see_when_final(context, request, [job_id], wait)
    if not seen:
        raise _unknown(job_id)
    # Written here, once: hundreds of clients poll, and the framework would check the view against its own schema first.
    return Response(_shown(seen[0]).model_dump_json(), media_type="application/json")


@router.get("/{job_id}/events", response_class=StreamingResponse)
async def job_events(context: Ctx, request: Request, job_id: Identifier) -> StreamingResponse:
    """Streams a job as server-sent events: one event `job` a change, the last one when it has ended."""
    if await context.looks.get(job_id) is None:
        raise _unknown(job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(context, request, job_id), media_type="text/event-stream", headers=headers)


@router.post("/{job_id}/cancel")
async def cancel_job(context: Ctx, job_id: Identifier) -> JobView:
    """Cancels a job: a queued one at once, a running one between two batches."""

    def cancel() -> JobView:
        job = context.catalogue.jobs.request_cancel(context.project, job_id)
        if not job.state.final:
            context.queue.hurry(job_id)
        elif job.staging is not None:
            remove_uploads(context, [job.staging])
        return show(context, job)

    view = await anyio.to_thread.run_sync(cancel)
    context.hub.wake(context.project, job_id)
    return view


@router.post("/{job_id}/retry", status_code=202)
def retry_job(context: Ctx, job_id: Identifier) -> JobView:
    """Queues a failed or cancelled job again."""
    job = context.catalogue.jobs.retry(context.project, job_id, staged=context.staging.exists)
    dispatch(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return show(context, job)


def show(context: Context, job: JobRecord) -> JobView:
    """A job with its place in the queue."""
    return job_view(job, place=context.standing.of([job]).get(job.job_id), now=time.time())


def _shown(seen: Seen) -> JobView:
    return job_view(seen.job, place=seen.place, now=time.time())


async def _events(context: Context, request: Request, job_id: str) -> AsyncIterator[str]:
    sent: str | None = None
    said_at = time.monotonic()
    with (
        context.hub.listen(context.project, [job_id]) as listener,
        context.metrics.streams.track_inprogress(),
        waiting_uncounted(request),
    ):
        while (seen := await context.looks.get(job_id)) is not None:
            view = _shown(seen)
            data = view.model_dump_json()
            now = time.monotonic()
            # The estimate changes with the clock; it alone is no news.
            news = view.model_copy(update={"eta_seconds": None}).model_dump_json()
            if news != sent:
                yield f"event: job\ndata: {data}\n\n"
                sent, said_at = news, now
            elif now - said_at >= _KEEP_ALIVE_SECONDS:
                yield ": still here\n\n"
                said_at = now
            if seen.job.state.final:
                return
            await listener.changed(min(poll_seconds(context), _KEEP_ALIVE_SECONDS))


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id[:40]}: see the list of jobs.")
