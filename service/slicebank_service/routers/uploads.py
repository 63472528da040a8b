"""Resumable uploads over tus 1.0, which end in the answer of `POST /v1/series`."""

from __future__ import annotations

from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from slicebank_service.admission import full_disks_said
from slicebank_service.answers.series import UploadAnswer
from slicebank_service.context import Context, Ctx, Identifier
from slicebank_service.errors import (
    BodyTooLarge,
    OffsetMismatch,
    TooManyUploads,
    UnsupportedMedia,
    UploadIncomplete,
    UploadLocked,
)
from slicebank_service.intake.asked import AskedOfIntake, IntakeQuery, wanted
from slicebank_service.intake.outcome import answer_again
from slicebank_service.uploads.finishing import finish
from slicebank_service.uploads.headers import (
    ALGORITHMS,
    CONTENT_TYPE,
    EXTENSIONS,
    VERSION,
    check_version,
    checksum_of,
    describing,
    length_of,
    offset_of,
    suffix_of,
)
from slicebank_service.uploads.locking import locked
from slicebank_service.uploads.resumable import ResumableUpload, ResumableUploads
from slicebank_service.uploads.writing import write

router = APIRouter(prefix="/uploads", tags=["uploads"])

# Somebody's upload ends, or expires.
_RETRY_S = 30


async def _uploads(context: Ctx) -> ResumableUploads:
    return ResumableUploads(context.staging, context.project, kept_s=context.settings.staging_orphan_seconds)


async def _versioned(request: Request) -> None:
    check_version(request.headers)


Uploads = Annotated[ResumableUploads, Depends(_uploads)]
_TUS = [Depends(_versioned)]


@router.options("", status_code=204)
def describe_uploads(context: Ctx) -> Response:
    """Says what of tus is spoken here."""
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(context.settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


@router.post("", status_code=201, dependencies=_TUS)
async def begin_upload(context: Ctx, uploads: Uploads, request: Request, asked: AskedOfIntake) -> Response:
    """Begins an upload; `Location` says where its bytes go. The query is that of `POST /v1/series`; what the bytes are is told by themselves.

    Bytes may come with this request, as `application/offset+octet-stream`; if they are all, the answer carries what the last PATCH would.
    """
    length = length_of(request.headers)
    with context.metrics.refusals(), full_disks_said():
        upload = await anyio.to_thread.run_sync(_create, context, uploads, length, suffix_of(request.headers), asked)
    headers = {"Location": f"/v1/uploads/{upload.upload_id}"}
    if request.headers.get("content-type") != CONTENT_TYPE:
        return Response(status_code=201, headers=headers | dict(describing(upload)))
    try:
        async with locked(uploads, upload.upload_id, interrupt=True) as held:
            answer = await _add(context, request, held)
            headers |= describing(held) if answer is None else {"Upload-Offset": str(length)}
    except BaseException:
        # The client never learns where it is, so nobody goes on with it; it must not count as open until it expires.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(uploads.remove, upload.upload_id)
        raise
    if answer is None:
        return Response(status_code=201, headers=headers)
    return Response(answer.model_dump_json(), 201, headers, "application/json")


@router.head("/{upload_id}", dependencies=_TUS)
async def see_upload(uploads: Uploads, upload_id: Identifier) -> Response:
    """Says how much has arrived; a request that is still sending is stopped, so that the number stays true."""
    upload = await anyio.to_thread.run_sync(uploads.get, upload_id)
    if upload.complete:
        return Response(headers=dict(describing(upload)))
    async with locked(uploads, upload_id, interrupt=True) as held:
        return Response(headers=dict(describing(held)))


@router.patch(
    "/{upload_id}",
    status_code=204,
    dependencies=_TUS,
    responses={200: {"model": UploadAnswer}, 202: {"model": UploadAnswer}},
)
async def add_to_upload(
    context: Ctx,
    uploads: Uploads,
    request: Request,
    upload_id: Identifier,
    wait: Annotated[float, Query(ge=0, description="With the last bytes: seconds to wait for the jobs to end.")] = 0.0,
) -> Response:
    """Adds bytes. 204 while more are to come; with the last ones the upload is taken in and answered as `POST /v1/series` is."""
    if request.headers.get("content-type") != CONTENT_TYPE:
        raise UnsupportedMedia(f"send the bytes as `Content-Type: {CONTENT_TYPE}`")
    offset = offset_of(request.headers)
    async with locked(uploads, upload_id, interrupt=True) as held:
        if offset != held.offset:
            raise OffsetMismatch(
                f"{held.offset} bytes have arrived, and these begin at {offset}; send what follows", offset=held.offset
            )
        answer = await _add(context, request, held)
        headers = dict(describing(held)) if answer is None else {"Upload-Offset": str(held.state.length)}
    if answer is None:
        return Response(status_code=204, headers=headers)
    answer, status = await answer_again(context, request, answer, wait)
    return Response(answer.model_dump_json(), status, headers, "application/json")


@router.get("/{upload_id}", responses={202: {"model": UploadAnswer}})
async def answer_of_upload(
    context: Ctx,
    uploads: Uploads,
    request: Request,
    upload_id: Identifier,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the jobs to end.")] = 0.0,
) -> Response:
    """The answer again, for who missed it; 409 until all bytes have arrived and are taken in. Refused files are called by number here."""
    upload = await anyio.to_thread.run_sync(uploads.get, upload_id)
    if not upload.complete:
        raise UploadIncomplete(
            f"{upload.offset} of {upload.state.length} bytes have arrived; send the rest",
            offset=upload.offset,
            length=upload.state.length,
        )
    try:
        async with locked(uploads, upload_id, interrupt=False, patience_s=0.5) as held:
            answer = await finish(context, request, held)
    except UploadLocked as error:
        raise UploadIncomplete(
            "all bytes have arrived and are being taken in; ask again in a second",
            offset=upload.offset,
            length=upload.state.length,
        ) from error
    answer, status = await answer_again(context, request, answer, wait)
    return Response(answer.model_dump_json(), status, media_type="application/json")


@router.delete("/{upload_id}", status_code=204, dependencies=_TUS)
async def end_upload(uploads: Uploads, upload_id: Identifier) -> Response:
    """Forgets an upload; what was taken in stays."""
    async with locked(uploads, upload_id, interrupt=True):
        await anyio.to_thread.run_sync(uploads.remove, upload_id)
    return Response(status_code=204)


def _create(
    context: Context, uploads: ResumableUploads, length: int, suffix: str, asked: IntakeQuery
) -> ResumableUpload:
    settings = context.settings
    if length > settings.max_upload_bytes:
        raise BodyTooLarge(
            f"the upload is larger than the {settings.max_upload_bytes} bytes taken at once; send the study in parts"
        )
    wanted(context, asked)  # refused now rather than after the last byte
    context.admission.check_upload(length)
    if uploads.open_ones() >= settings.max_open_uploads:
        raise TooManyUploads(
            f"{settings.max_open_uploads} uploads are open, and no more may; go on with them or end them",
            retry_after_seconds=_RETRY_S,
        )
    return uploads.create(length, suffix, asked.without_names(context.pseudonyms))


async def _add(context: Context, request: Request, held: ResumableUpload) -> UploadAnswer | None:
    """Adds the bytes of a request; the answer where they were the last."""
    if not held.state.answered:
        with full_disks_said():
            await write(request, held, checksum_of(request.headers), check_room=context.admission.check_disks)
    return await finish(context, request, held) if held.complete else None
