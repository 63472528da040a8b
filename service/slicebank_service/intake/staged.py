"""A place in staging for one upload, left as it should be whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import structlog

from slicebank_service.admission import full_disks_said
from slicebank_service.context import Context
from slicebank_service.removal import remove_uploads
from slicebank_store.errors import CatalogueUnavailable
from slicebank_store.intake import Upload

log = structlog.get_logger()


@asynccontextmanager
async def staged(context: Context) -> AsyncIterator[Upload]:
    """A new upload; afterwards staging holds what jobs need of it and nothing else.

    Raises:
        StorageFull: the disk was full, here or inside.
    """
    with full_disks_said():
        upload = await anyio.to_thread.run_sync(context.staging.new)
    unsure = False
    try:
        with full_disks_said():
            yield upload
    except CatalogueUnavailable:
        # The connection may have broken while a job was committed, which then needs the files: the sweep of staging removes them if none does.
        unsure = True
        raise
    finally:
        # A client that goes away cancels this task, and its files must go all the same.
        if not unsure:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_tidy, context, upload.upload_id)


def _tidy(context: Context, upload_id: str) -> None:
    context.staging.settle(upload_id)
    try:
        remove_uploads(context, [upload_id])
    except CatalogueUnavailable as error:
        # Whether a job needs the files cannot be told now; the sweep of staging removes them if none does.
        log.warning("upload_not_tidied", upload_id=upload_id, detail=str(error))
