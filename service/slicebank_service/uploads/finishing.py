"""From the bytes of a resumable upload to its answer."""

from __future__ import annotations

import os

import anyio.to_thread
from fastapi import Request

from slicebank_service.answers.series import UploadAnswer
from slicebank_service.context import Context
from slicebank_service.errors import NothingUsable
from slicebank_service.intake.asked import wanted
from slicebank_service.intake.outcome import answer_to, check_usable
from slicebank_service.intake.received import ReceivedUpload
from slicebank_service.intake.staged import staged
from slicebank_service.uploads.resumable import ResumableUpload
from slicebank_service.uploads.state import Refusal
from slicebank_store.intake import Upload
from slicebank_store.intake.received import ReceivedFile


async def finish(context: Context, request: Request, upload: ResumableUpload) -> UploadAnswer:
    """Takes a whole upload in, or says what was said when that was done. The caller holds its lock.

    The bytes stay until the answer is written: a process that dies meanwhile has them taken in again, which makes nothing twice.

    Raises:
        NothingUsable: nothing of it could be used; said again to whoever asks again.
        StorageFull, CatalogueUnavailable: it stays as it is, and may be asked for again.
    """
    if upload.state.refusal is not None:
        raise upload.state.refusal.error()
    if upload.state.answer is not None:
        return upload.state.answer
    # Here, because intake brings pydicom and numpy, and a service should answer before its first upload.
    from slicebank_service.intake.take_in import take_in

    try:
        with context.metrics.upload():
            request_of = await anyio.to_thread.run_sync(wanted, context, upload.state.asked)
            async with staged(context) as place:
                received = await anyio.to_thread.run_sync(_linked, upload, place)
                intake = await anyio.to_thread.run_sync(
                    take_in, context, place, received, request_of, limiter=context.intake_limiter
                )
            await anyio.to_thread.run_sync(check_usable, context, intake, request_of)
    except NothingUsable as error:
        state = upload.state.model_copy(update={"refusal": Refusal.of(error)})
        await anyio.to_thread.run_sync(upload.keep, state)
        raise
    answer, _ = await answer_to(context, request, intake, 0.0)
    await anyio.to_thread.run_sync(upload.keep, upload.state.with_answer(answer))
    return answer


def _linked(upload: ResumableUpload, place: Upload) -> ReceivedUpload:
    # A second name for the same bytes: unpacking removes what it has read.
    path = place.folder / "body"
    os.link(upload.body, path)
    return ReceivedUpload((ReceivedFile(path, f"upload{upload.state.suffix}"),), upload.state.length)
