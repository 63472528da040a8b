"""After rows were deleted or jobs cancelled: the files that nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from slicebank_service.context import Context
from slicebank_store.catalogue import Deleted
from slicebank_store.doomed import remove_doomed
from slicebank_store.errors import BlobsUnavailable

log = structlog.get_logger()


def remove_files(context: Context, *deleted: Deleted) -> None:
    """Deletes the blobs of what was deleted, now or before, and the staged uploads that served its jobs alone.

    Blobs of earlier deletions are tried again as well, whoever asks: what a request finds gone may have been deleted by one that
    could not remove the blobs.

    Raises:
        BlobsUnavailable: blobs are left; they stay noted, for the next deletion, the sweep and `admin gc`.
    """
    for each in deleted:
        remove_uploads(context, each.uploads)
    try:
        remove_doomed(context.catalogue, context.blobs, context.project)
    except BlobsUnavailable:
        log.warning("blobs_left_behind")
        raise


def remove_uploads(context: Context, upload_ids: Iterable[str]) -> None:
    """Removes staged uploads, but for those that another job needs."""
    for upload_id in upload_ids:
        if not context.catalogue.jobs.staging_needed(context.project, upload_id):
            context.staging.remove(upload_id)
