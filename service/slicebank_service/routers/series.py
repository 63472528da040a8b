"""Series: taking them in, showing them, removing them, embedding kept ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
import structlog
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.admission import EMBED_KINDS
from slicebank_service.answers.series import (
    BagAsked,
    SeriesDetail,
    SeriesPage,
    UploadAnswer,
    series_detail,
    series_view,
)
from slicebank_service.context import ID_PATTERN, AskedStudyUid, Context, Ctx, SeriesUid
from slicebank_service.intake.asked import AskedOfIntake, wanted
from slicebank_service.intake.outcome import answer_to, check_usable
from slicebank_service.intake.staged import staged
from slicebank_service.recipes import STANDARD, recipe_of
from slicebank_service.removal import remove_files
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownSeries
from slicebank_store.types import BagLevel, JobKind, Priority

if TYPE_CHECKING:
    from slicebank_store.intake.request import IntakeRequest
    from slicebank_store.intake.study_intake import Intake

log = structlog.get_logger()

router = APIRouter(prefix="/series", tags=["series"])

Wait = Annotated[float, Query(ge=0, description="Seconds to wait for the jobs to end.")]
# DICOM allows 64 characters; some sites use longer ones in practice.
PatientID = Annotated[str | None, Query(min_length=1, max_length=256, description="PatientID; hashed on arrival.")]


class BagRequest(BaseModel):
    """Which bag to make of a kept series."""

    model_config = ConfigDict(extra="forbid")

    encoder: str = Field(DEFAULT_ENCODER, pattern=ID_PATTERN)
    windows: list[str | dict[str, Any]] | None = None
    precision: str = Field(STANDARD, max_length=32)
    stack: int | None = None


@router.post(
    "",
    status_code=202,
    responses={200: {"model": UploadAnswer}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    }
                },
                **{
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("application/zip", "application/x-tar", "application/gzip", "application/dicom")
                },
            },
        }
    },
)
async def upload_series(
    context: Ctx, request: Request, response: Response, asked: AskedOfIntake, wait: Wait = 0.0
) -> UploadAnswer:
    """Takes CT series in: answers what was accepted and, file by file, what was not and why; embedding goes on in jobs.

    202 while jobs are at work, 200 when all are final, 422 where nothing was usable. While too much waits already the answer is 429 with
    Retry-After, and 507 while a disk is nearly full, before the body is read: whether the series is known cannot be told by then.
    """
    request_of = await anyio.to_thread.run_sync(wanted, context, asked)
    with context.metrics.upload():
        await anyio.to_thread.run_sync(context.admission.check_upload, _length(request))
        intake = await _received(context, request, request_of)
        await anyio.to_thread.run_sync(check_usable, context, intake, request_of)
    answer, response.status_code = await answer_to(context, request, intake, wait)
    return answer


@router.get("")
def list_series(
    context: Ctx,
    study_uid: AskedStudyUid,
    patient: PatientID = None,
    body_part: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> SeriesPage:
    """Lists series, the newest first. `patient` is a PatientID, or a pseudonym as series show it."""
    page = context.catalogue.series.list(
        context.project,
        study_uid=study_uid,
        patient=None if patient is None else context.pseudonyms.patient_asked(patient),
        body_part=body_part,
        limit=limit,
        cursor=cursor,
    )
    uids = [item.series_uid for item in page.items]
    current = context.catalogue.series.current_revisions(context.project, uids)
    # A series deleted since the page was read has no revision any more.
    items = [series_view(item, current[item.series_uid]) for item in page.items if item.series_uid in current]
    return SeriesPage(items=items, next_cursor=page.next_cursor)


@router.get("/{series_uid}")
def get_series(context: Ctx, series_uid: SeriesUid) -> SeriesDetail:
    """Shows a series with its current revision, and all others."""
    found = context.catalogue.series.get(context.project, series_uid)
    revisions = context.catalogue.series.revisions(context.project, series_uid)
    if found is None or not revisions:
        raise UnknownSeries(f"There is no series {series_uid[:64]}: upload it first.")
    return series_detail(found, revisions)


@router.delete("/{series_uid}", status_code=204)
def delete_series(context: Ctx, series_uid: SeriesUid) -> Response:
    """Removes a series with its bags, predictions and pixels, and cancels its jobs; heads that learnt from it stay, marked."""
    remove_files(context, context.catalogue.deletions.delete_series(context.project, series_uid))
    return Response(status_code=204)


@router.post("/{series_uid}/bags", status_code=202, responses={200: {"model": BagAsked}})
def make_bag(
    context: Ctx,
    series_uid: SeriesUid,
    response: Response,
    wanted: Annotated[BagRequest, Body(default_factory=BagRequest)],
) -> BagAsked:
    """Makes another bag of a series whose pixels are kept; 200 where it exists already."""
    context.admission.check_queue(EMBED_KINDS)
    card = context.registry.get(wanted.encoder)
    recipe = recipe_of(card, windows=wanted.windows, precision=wanted.precision)
    submitted = context.catalogue.submissions.submit_kept(
        context.project, series_uid, recipe=recipe, level=BagLevel(card.level.value), dim=card.dim, stack=wanted.stack
    )
    if submitted.created:
        dispatch(context.catalogue, context.queue, JobKind.EMBED, submitted.job_id, Priority.INTERACTIVE)
    if submitted.state.final:
        response.status_code = 200
    return BagAsked(
        series_uid=submitted.series_uid,
        stack=submitted.stack,
        revision=submitted.revision,
        n_slices=submitted.n_slices,
        job_id=submitted.job_id,
        bag_id=submitted.bag_id or "",
        state=submitted.state.value,
    )


async def _received(context: Context, request: Request, wanted: IntakeRequest) -> Intake:
    """Receives an upload into staging and takes it in."""
    # Here, because intake brings pydicom and numpy, and a service should answer before its first upload.
    from slicebank_service.intake.receive import receive
    from slicebank_service.intake.take_in import take_in

    settings = context.settings
    async with staged(context) as upload:
        received = await receive(
            request.stream(),
            upload.folder,
            content_type=request.headers.get("content-type", ""),
            content_encoding=request.headers.get("content-encoding", ""),
            content_digest=request.headers.get("content-digest", ""),
            max_bytes=settings.max_upload_bytes,
            max_files=settings.max_upload_files,
            check_room=context.admission.check_disks,
        )
        log.info("upload_received", upload_id=upload.upload_id, bytes=received.size_bytes, bodies=len(received.files))
        return await anyio.to_thread.run_sync(
            take_in, context, upload, received, wanted, limiter=context.intake_limiter
        )


def _length(request: Request) -> int | None:
    given = request.headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() else None
