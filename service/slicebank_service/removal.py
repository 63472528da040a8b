"""After rows were deleted or jobs cancelled: the files that nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from slicebank_service.context import Context
from slicebank_store.catalogue import Deleted
from slicebank_store.errors import BlobsUnavailable

log = structlog.get_logger()


def remove_files(context: Context, deleted: Deleted) -> None:
    """Deletes the blobs of what was deleted, and the staged uploads that served its jobs alone."""
    remove_uploads(context, deleted.uploads)
    for number, key in enumerate(deleted.blob_keys):
        try:
            context.blobs.delete(key)
        except BlobsUnavailable:
            # The rows are gone, so asking again deletes no blob; `admin gc` finds those that nothing names.
            log.warning("blobs_left_behind", blobs=len(deleted.blob_keys) - number)
            raise


def remove_uploads(context: Context, upload_ids: Iterable[str]) -> None:
    """Removes staged uploads, but for those that another job needs."""
    for upload_id in upload_ids:
        if not context.catalogue.jobs.staging_needed(context.project, upload_id):
            context.staging.remove(upload_id)
