"""What the content of a request is called: the same files give the same name, wherever they lie and whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from slicebank.upload.batches import Batch
from slicebank.upload.bodies import file_bytes
from slicebank.upload.discover import SourceFile

OnHashed = Callable[[int], object]


def content_digest(batch: Batch, *, on_hashed: OnHashed | None = None) -> str:
    """Sha256 in hex: of the one file's bytes for an archive or a volume, else of the files' sorted digests, a line each.

    Args:
        batch: what a request sends.
        on_hashed: called with the bytes of each chunk.

    Raises:
        FileChanged: a file vanished or became shorter.
    """
    if batch.as_it_is:
        return _file_digest(batch.files[0], on_hashed)
    digests = sorted(_file_digest(file, on_hashed) for file in batch.files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def stream_digest(batch: Batch, content: str) -> str:
    """Sha256 in hex of what makes the very bytes of a request: its content, and the names and sizes in their order."""
    digest = hashlib.sha256(f"{content}\n{batch.content_type}\n".encode())
    for file in batch.files:
        digest.update(f"{file.size} {file.name}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _file_digest(file: SourceFile, on_hashed: OnHashed | None) -> str:
    digest = hashlib.sha256()
    for chunk in file_bytes(file):
        digest.update(chunk)
        if on_hashed is not None:
            on_hashed(len(chunk))
    return digest.hexdigest()
