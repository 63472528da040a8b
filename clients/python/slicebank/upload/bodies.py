"""Bodies of requests that are made as they are sent, from any offset on, so that a broken upload goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from slicebank.errors import FileChanged
from slicebank.upload.discover import SourceFile

CHUNK_BYTES = 256 * 1024


class Body(Protocol):
    """Bytes whose number is known before they are made, and which are the same each time."""

    @property
    def length(self) -> int:
        """Bytes in all."""
        ...

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Make the bytes from `start` to the end, chunk by chunk."""
        ...


class FileBody:
    """One file as it is."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file

    @property
    def length(self) -> int:
        """Bytes of the file when it was found."""
        return self._file.size

    def read(self, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file from `start` on."""
        return file_bytes(self._file, start)


def file_bytes(file: SourceFile, start: int = 0) -> Iterator[bytes]:
    """The bytes of one file, exactly as many as were counted when it was found.

    Raises:
        FileChanged: it vanished, is shorter now, or was written to since it was found.
    """
    left = file.size - start
    try:
        with file.path.open("rb") as source:
            _check_unwritten(file, source)
            source.seek(start)
            while left:
                chunk = source.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise FileChanged(f"{file.path} became shorter while it was being sent.")
                left -= len(chunk)
                yield chunk
            _check_unwritten(file, source)
    except OSError as error:
        raise FileChanged(f"{file.path} cannot be read any more: {error.strerror or error}.") from error


def _check_unwritten(file: SourceFile, source: BinaryIO) -> None:
    if file.modified_ns is not None and os.fstat(source.fileno()).st_mtime_ns != file.modified_ns:
        raise FileChanged(f"{file.path} was written to while it was being sent.")
