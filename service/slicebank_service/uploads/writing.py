"""The bytes of one request, written behind those that are there."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from slicebank_service.errors import BodyTooLarge, ChecksumMismatch, ClientGone, UploadLocked
from slicebank_service.intake.blocks import Blocks
from slicebank_service.uploads.headers import Checksum
from slicebank_service.uploads.locking import LOOK_S, released
from slicebank_service.uploads.resumable import ResumableUpload, unknown


async def write(
    request: Request, upload: ResumableUpload, checksum: Checksum | None, *, check_room: Callable[[int], None]
) -> None:
    """Streams a body to the end of an upload that this request holds the lock of.

    What came before anything went wrong is kept, unless it came with a checksum: then it counts as a whole or not at all.

    Args:
        request: its body is read.
        upload: with `recover` done.
        checksum: of this body alone.
        check_room: called with the bytes to be written before each block; raises where they must not be.

    Raises:
        BodyTooLarge: more bytes than the upload was to have; none of them is kept.
        ChecksumMismatch: they are not what the checksum says; none of them is kept.
        ClientGone: the connection broke.
        UploadLocked: another request wants the upload.
        StorageFull: there is no room.
    """
    offset = upload.offset
    left = upload.state.length - offset
    file = await anyio.to_thread.run_sync(_open, upload, None if checksum is None else offset)

    def take(block: bytes) -> None:
        check_room(len(block))
        if checksum is not None:
            checksum.hasher.update(block)
        rest = memoryview(block)
        while rest:
            rest = rest[file.write(rest) :]

    blocks = Blocks(take)
    size = 0
    try:
        with _until_released(upload) as scope:
            async for chunk in request.stream():
                size += len(chunk)
                if size > left:
                    await blocks.settle()
                    await anyio.to_thread.run_sync(upload.cut, offset)
                    raise BodyTooLarge(
                        f"the body goes beyond the {upload.state.length} bytes that the upload was to have; ask HEAD where it stands"
                    )
                await blocks.add(chunk)
        await blocks.finish()
        if scope.cancelled_caught:
            raise UploadLocked("another request goes on with this upload; HEAD tells where it stands")
    except ClientDisconnect as error:
        await blocks.finish()
        raise ClientGone(
            "the connection closed; HEAD tells how much has arrived, and the upload goes on there"
        ) from error
    finally:
        with anyio.CancelScope(shield=True):
            await blocks.settle()
            file.close()
    if checksum is not None:
        if not hmac.compare_digest(checksum.hasher.digest(), checksum.expected):
            await anyio.to_thread.run_sync(upload.recover)
            raise ChecksumMismatch("the bytes received are not those that Upload-Checksum names; send them again")
        await anyio.to_thread.run_sync(upload.verified)


def _open(upload: ResumableUpload, unverified_from: int | None) -> FileIO:
    try:
        if unverified_from is not None:
            upload.begin_unverified(unverified_from)
        # Unbuffered: what was written is in the system's hands when this process is killed.
        return upload.body.open("ab", buffering=0)
    except FileNotFoundError:  # swept or ended meanwhile
        raise unknown(upload.upload_id) from None


@contextmanager
def _until_released(upload: ResumableUpload) -> Iterator[anyio.CancelScope]:
    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(_watch(upload, scope))
        try:
            yield scope
        finally:
            watching.cancel()


async def _watch(upload: ResumableUpload, scope: anyio.CancelScope) -> None:
    while not await anyio.to_thread.run_sync(released, upload):
        await asyncio.sleep(LOOK_S)
    scope.cancel()
