"""Deleting the blobs that deletions left to be deleted."""

from __future__ import annotations

from slicebank_store.blobs import BlobStore
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import BlobsUnavailable

# One blob that cannot be removed must not hold up the others; where several in a row fail, the store itself is away.
_FAILURES = 3


def remove_doomed(catalogue: Catalogue, blobs: BlobStore, project: str | None = None) -> int:
    """Deletes the blobs of deleted rows that are still noted, and the notes; gives how many notes went.

    Several may do so at once.

    Args:
        catalogue: holds the notes.
        blobs: what the keys mean.
        project: whose blobs; None for all.

    Raises:
        BlobsUnavailable: some could not be removed; they stay noted.
        CatalogueUnavailable: the database does not answer.
    """
    removed = 0
    failed: BlobsUnavailable | None = None
    in_a_row = 0
    after: tuple[str, str] | None = None
    while page := catalogue.doomed.page(project, after=after):
        gone: list[tuple[str, str]] = []
        for blob in page:
            try:
                blobs.delete(blob[1])
            except BlobsUnavailable as error:
                failed = error
                in_a_row += 1
                if in_a_row == _FAILURES:
                    break
            else:
                in_a_row = 0
                gone.append(blob)
        catalogue.doomed.forget(gone)
        removed += len(gone)
        if in_a_row == _FAILURES:
            break
        after = page[-1]
    if failed is not None:
        raise failed
    return removed
