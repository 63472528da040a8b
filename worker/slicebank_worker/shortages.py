"""What every job needs and may lack for a while: room on a disk, the store, the catalogue. No job is to blame for that, so none is failed by it."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from slicebank_store.errors import BlobsFull, BlobsUnavailable, CatalogueUnavailable, KeyMismatch

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# HDF5 hides the system's error number in a text.
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", f"errno = {errno.ENOSPC},", f"errno = {errno.EDQUOT},")


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a job has to wait.

    Attributes:
        code: error code.
        detail: a sentence for people.
    """

    code: str
    detail: str


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage behind an error, or None where the job itself is at fault."""
    if isinstance(error, BlobsFull | BlobsUnavailable | CatalogueUnavailable | KeyMismatch):
        return Shortage(error.code, str(error))
    if isinstance(error, OSError) and (error.errno in _FULL or any(text in str(error) for text in _FULL_TEXTS)):
        return Shortage("disk_full", "The disk of the worker is full: free space on it, and the job goes on by itself.")
    return None
