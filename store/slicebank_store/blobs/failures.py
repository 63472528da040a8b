"""What the operating system refuses, as the store's errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from slicebank_store.errors import BlobsFull, BlobsUnavailable

# EFBIG: larger than the file system takes, which no waiting mends either until somebody makes room for such files.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def mapped_os_errors(what: str) -> Iterator[None]:
    """Turns every OSError inside into an error of the store.

    Args:
        what: the key, or whatever else was to be read or written.

    Raises:
        BlobsFull: the disk or the quota is full.
        BlobsUnavailable: anything else: read-only, not permitted, an I/O error, a network file system that is gone.
    """
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        if error.errno in _FULL:
            msg = f"There is no room for {what} where blobs are kept ({name}): free or add space."
            raise BlobsFull(msg) from error
        msg = f"Where blobs are kept cannot be used for {what} ({name}): see the disk or network share and its permissions."
        raise BlobsUnavailable(msg) from error
