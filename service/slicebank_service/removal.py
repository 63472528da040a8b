"""After rows were deleted or jobs cancelled: the files that nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable

from slicebank_service.context import Context
from slicebank_store.catalogue import Deleted


def remove_files(context: Context, deleted: Deleted) -> None:
    """Deletes the blobs of what was deleted, and the staged uploads that served its jobs alone."""
    for key in deleted.blob_keys:
        context.blobs.delete(key)
    remove_uploads(context, deleted.uploads)


def remove_uploads(context: Context, upload_ids: Iterable[str]) -> None:
    """Removes staged uploads, but for those that another job needs."""
    for upload_id in upload_ids:
        if not context.catalogue.jobs.staging_needed(context.project, upload_id):
            context.staging.remove(upload_id)
