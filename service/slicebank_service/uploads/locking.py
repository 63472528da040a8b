"""One request at a time for each upload, across processes.

A connection that broke may look alive for minutes, and its client is the one that asks again: so a newcomer asks the holder to let go,
and the holder, which may be another process, looks for that word while it waits for bytes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from slicebank_service.errors import UploadLocked
from slicebank_service.uploads.resumable import ResumableUpload, ResumableUploads, unknown

_LOCK = "lock"
_RELEASE = "release"
# How long a newcomer waits: several looks of the holder, and a block on its way to a slow disk.
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
LOOK_S = 0.25
"""How often the holder looks whether somebody else wants the upload."""


@asynccontextmanager
async def locked(
    uploads: ResumableUploads, upload_id: str, *, interrupt: bool, patience_s: float = _PATIENCE_S
) -> AsyncIterator[ResumableUpload]:
    """The upload as it is once nobody else is at it.

    Args:
        uploads: of the project.
        upload_id: the upload.
        interrupt: ask who receives bytes of it to stop; who takes it in does not.
        patience_s: how long to wait, seconds.

    Raises:
        UnknownUpload: there is no such upload, or none any more.
        UploadLocked: somebody else is at it.
    """
    folder = (await anyio.to_thread.run_sync(uploads.get, upload_id)).folder
    descriptor = await _lock(folder, upload_id, interrupt, patience_s)
    try:
        upload = await anyio.to_thread.run_sync(_begin, uploads, upload_id)
        yield upload
    finally:
        os.close(descriptor)


def released(upload: ResumableUpload) -> bool:
    """Whether somebody else wants the upload that this process holds."""
    return (upload.folder / _RELEASE).exists()


async def _lock(folder: Path, upload_id: str, interrupt: bool, patience_s: float) -> int:
    with anyio.move_on_after(patience_s, shield=True):
        while True:
            descriptor = await anyio.to_thread.run_sync(_try_lock, folder, upload_id, interrupt)
            if descriptor is not None:
                return descriptor
            await anyio.sleep(_PAUSE_S)
    raise UploadLocked("another request is at this upload; ask again in a second")


def _try_lock(folder: Path, upload_id: str, interrupt: bool) -> int | None:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise unknown(upload_id) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        if interrupt:
            try:
                (folder / _RELEASE).touch()
            except FileNotFoundError:  # its holder ends it
                raise unknown(upload_id) from None
        return None
    return descriptor


def _begin(uploads: ResumableUploads, upload_id: str) -> ResumableUpload:
    upload = uploads.get(upload_id)
    (upload.folder / _RELEASE).unlink(missing_ok=True)
    upload.recover()
    return upload
