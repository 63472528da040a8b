"""Groups: a cohort as one, with one progress, however many requests bring its cases."""

from __future__ import annotations

import asyncio
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, BackgroundTasks, Query, Request, Response

from slicebank_service.answers.group_predictions import (
    GroupPredictions,
    group_predictions_csv,
    group_predictions_view,
)
from slicebank_service.answers.groups import (
    CaseGivenUp,
    GroupAsked,
    GroupMade,
    GroupPage,
    GroupView,
    JobsJoining,
    group_made,
    group_view,
)
from slicebank_service.context import Context, Ctx, Identifier
from slicebank_service.intake.asked import check_case
from slicebank_service.removal import remove_uploads
from slicebank_service.waiting import waiting_uncounted
from slicebank_store.catalogue.groups import GroupRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownGroup, UnknownJob

router = APIRouter(prefix="/groups", tags=["groups"])

# Messages sent at once; the workers' sweep sends those of the other jobs, which stand in the queue already.
_DISPATCHED = 100


@router.post("", status_code=201)
def make_group(context: Ctx, asked: GroupAsked) -> GroupMade:
    """Makes a group, or finds the one that was made of the same key."""
    return group_made(context.catalogue.groups.create(context.project, key=asked.key, cases=asked.cases))


@router.get("")
def list_groups(
    context: Ctx, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
) -> GroupPage:
    """Lists groups, the newest first."""
    page = context.catalogue.groups.list(context.project, limit=limit, cursor=cursor)
    return GroupPage(items=[group_made(group) for group in page.items], next_cursor=page.next_cursor)


@router.get("/{group_id}")
async def get_group(
    context: Ctx,
    request: Request,
    group_id: Identifier,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the last case.")] = 0.0,
) -> GroupView:
    """Shows a group: cases done, jobs by state, and the first hundred failures, by case. Waits no longer than the settings allow."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(wait, context.settings.max_wait_seconds)
    with waiting_uncounted(request):
        while True:
            view = await anyio.to_thread.run_sync(show_group, context, group_id)
            left = deadline - loop.time()
            if view.state == "finished" or left <= 0 or await request.is_disconnected():
                return view
            # News of jobs do not say which group they are of, so a group is looked at from time to time.
            await asyncio.sleep(min(left, context.settings.poll_seconds))


@router.get("/{group_id}/predictions")
def group_predictions(context: Ctx, group_id: Identifier) -> GroupPredictions:
    """Lists what a head said of each case, without attention; cases that were refused or failed say why."""
    _find(context, group_id)
    return group_predictions_view(context.catalogue.predictions.of_group(context.project, group_id))


@router.get("/{group_id}/predictions.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def group_predictions_table(context: Ctx, group_id: Identifier) -> Response:
    """Gives the same as a table: a row a case, columns of each label."""
    _find(context, group_id)
    text = group_predictions_csv(context.catalogue.predictions.of_group(context.project, group_id))
    saved = f'attachment; filename="{group_id}-predictions.csv"'
    return Response(text, media_type="text/csv", headers={"Content-Disposition": saved})


@router.post("/{group_id}/jobs")
def join_group(context: Ctx, group_id: Identifier, joining: JobsJoining) -> GroupView:
    """Counts jobs as a case's, which need not be sent because they do, or did, what it asks for."""
    check_case(context, group_id, joining.case)
    missing = set(joining.job_ids) - context.catalogue.jobs.get_many(context.project, joining.job_ids).keys()
    if missing:
        raise UnknownJob(f"There is no job {min(missing)[:40]}: see the list of jobs.")
    context.catalogue.groups.join(context.project, group_id, joining.case, joining.job_ids)
    return show_group(context, group_id)


@router.post("/{group_id}/refusals")
def give_up_case(context: Ctx, group_id: Identifier, given_up: CaseGivenUp) -> GroupView:
    """Notes that a case will not be sent, so that the group can end without it; sending it after all takes that back."""
    check_case(context, group_id, given_up.case)
    sentence = "the sender could not send this case; mend its row and submit the table again"
    context.catalogue.groups.refuse(context.project, group_id, given_up.case, given_up.code, sentence)
    return show_group(context, group_id)


@router.post("/{group_id}/cancel")
def cancel_group(context: Ctx, background: BackgroundTasks, group_id: Identifier) -> GroupView:
    """Cancels the jobs of a group: queued ones at once, running ones between two batches. Cases sent later are not cancelled."""
    _find(context, group_id)
    stopped = context.catalogue.groups.cancel(context.project, group_id)
    for job in stopped:
        if job.running:
            context.queue.hurry(job.job_id)
    uploads = {job.staging for job in stopped if job.staging is not None and not job.running}
    # After the answer: the files of thousands of uploads take a while.
    background.add_task(remove_uploads, context, sorted(uploads))
    return show_group(context, group_id)


@router.post("/{group_id}/retry", status_code=202)
def retry_group(context: Ctx, group_id: Identifier) -> GroupView:
    """Queues the failed and cancelled jobs of a group again; those whose files are gone stay as they are, to be sent again."""
    _find(context, group_id)
    queued = context.catalogue.groups.retry(context.project, group_id, staged=context.staging.exists)
    for job in queued[:_DISPATCHED]:
        dispatch(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return show_group(context, group_id)


def _find(context: Context, group_id: str) -> GroupRecord:
    group = context.catalogue.groups.get(context.project, group_id)
    if group is None:
        raise UnknownGroup(f"There is no group {group_id[:40]}: make it first.")
    return group


def show_group(context: Context, group_id: str) -> GroupView:
    """A group as it stands.

    Raises:
        UnknownGroup: the project has no such group.
    """
    group = _find(context, group_id)
    progress = context.catalogue.groups.progress(context.project, group_id)
    return group_view(group, progress, list(context.catalogue.groups.failures(context.project, group_id)))
