"""What is said of an upload that was taken in, and of one of which nothing was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

from slicebank_service.answers.series import UploadAnswer, refused_series, rejected, uploaded
from slicebank_service.context import Context
from slicebank_service.errors import NothingUsable
from slicebank_service.waiting import wait_until_final
from slicebank_store.catalogue import JobRecord
from slicebank_store.errors import CatalogueUnavailable

if TYPE_CHECKING:
    from slicebank_store.intake.request import IntakeRequest
    from slicebank_store.intake.study_intake import Intake


def check_usable(context: Context, intake: Intake, request: IntakeRequest) -> None:
    """Refuses an upload of which nothing was taken, and notes that for its case. To be run on a thread.

    Raises:
        NothingUsable: nothing was.
    """
    if intake.taken:
        return
    detail = "no file of this upload can be used; `rejected` says why, file by file"
    if request.group is not None and request.case is not None:
        # The group outlives the answer, so it says what was wrong by code.
        codes = sorted({item.code for item in intake.rejected})
        said = f"None of the {len(intake.rejected)} files can be used: {', '.join(codes) or 'there are none'}."
        context.catalogue.groups.refuse(context.project, request.group, request.case, NothingUsable.code, said)
    raise NothingUsable(
        detail,
        rejected=[rejected(item).model_dump() for item in intake.rejected],
        refused_series=[refused_series(item).model_dump() for item in intake.refused_series],
    )


async def answer_to(context: Context, request: Request, intake: Intake, wait_s: float) -> tuple[UploadAnswer, int]:
    """The answer and its status: 200 when every job is final, else 202."""
    found = await _jobs(context, request, [item.submitted.job_id for item in intake.taken], wait_s)
    answer = UploadAnswer(
        series=[uploaded(item, found.get(item.submitted.job_id)) for item in intake.taken],
        rejected=[rejected(item) for item in intake.rejected],
        refused_series=[refused_series(item) for item in intake.refused_series],
    )
    return answer, _status(found)


async def answer_again(
    context: Context, request: Request, answer: UploadAnswer, wait_s: float
) -> tuple[UploadAnswer, int]:
    """An answer given before, with the states that its jobs have by now."""
    found = await _jobs(context, request, [item.job_id for item in answer.series], wait_s)
    series = [
        item.model_copy(update={"state": found[item.job_id].state.value}) if item.job_id in found else item
        for item in answer.series
    ]
    return answer.model_copy(update={"series": series}), _status(found)


async def _jobs(context: Context, request: Request, job_ids: list[str], wait_s: float) -> dict[str, JobRecord]:
    try:
        return {job.job_id: job for job in await wait_until_final(context, request, job_ids, wait_s)}
    except CatalogueUnavailable:
        return {}  # what was taken in is taken in; its state is told as it was then


def _status(jobs: dict[str, JobRecord]) -> int:
    return 200 if jobs and all(job.state.final for job in jobs.values()) else 202
