"""What a blob backend can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a writer that died left of a blob.

    Attributes:
        name: where it lies, for people to read.
        size: its bytes.
    """

    name: str
    size: int


class BlobReader(Protocol):
    """An open blob, to be read in parts. Any thread may call it."""

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer than `length` only where the blob ends.

        Raises:
            BlobMissing: the blob was removed or replaced since it was opened, and the backend cannot read on.
        """
        ...


class BlobStore(Protocol):
    """Bytes under keys such as `default/bags/dummy/0123-1.h5`.

    A blob appears as a whole or not at all, and is durable once its put returns. Every method raises `BadKey` for a
    key of a forbidden form, `BlobsUnavailable` where the backend does not answer or refuses, and `BlobsFull` where
    there is no room; nothing was stored then.
    """

    def put_file(self, key: str, local: Path) -> int:
        """Stores a copy of a local file, replacing what was under the key; its size in bytes."""
        ...

    def put_bytes(self, key: str, data: bytes) -> int:
        """Stores bytes, replacing what was under the key; their count."""
        ...

    def open_local(self, key: str) -> AbstractContextManager[Path]:
        """A local file with the blob's bytes, to be read while inside and never written.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        ...

    def open_reader(self, key: str) -> AbstractContextManager[BlobReader]:
        """The blob, to be read in parts without fetching the rest.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        ...

    def size(self, key: str) -> int:
        """Bytes of the blob.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether something is stored under the key."""
        ...

    def delete(self, key: str) -> bool:
        """Removes the blob; False where there was none."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with a text, in the backend's order; half-written blobs are not among them."""
        ...

    def sweep_unfinished(self, *, older_than_s: float, dry_run: bool = False) -> Iterator[Unfinished]:
        """Removes what writers that died left of blobs, as far as the backend shows it.

        Args:
            older_than_s: what was written to more lately stays: its writer may live.
            dry_run: only tells what would be removed.
        """
        ...
