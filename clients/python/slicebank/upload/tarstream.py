"""A tar archive as a stream of bytes: its length is known before the first of them is made, and it can begin anywhere."""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from slicebank.upload.bodies import file_bytes
from slicebank.upload.discover import SourceFile

_END = bytes(2 * tarfile.BLOCKSIZE)  # POSIX pax: two blocks of zeros


class TarBody:
    """The archive of some files. Members carry name and size and nothing else of this machine, so it is the same each time."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        """Lays the members out; no file is opened."""
        self._files = tuple(files)
        sizes = (len(_header(file)) + file.size + _padding(file.size) for file in self._files)
        # Where each member begins, and after the last one the end of the archive.
        self._offsets = tuple(accumulate(sizes, initial=0))

    @property
    def length(self) -> int:
        """Bytes of the whole archive."""
        return self._offsets[-1] + len(_END)

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Make the archive from byte `start` on, chunk by chunk.

        Raises:
            FileChanged: a file vanished, or is not as it was when it was found.
        """
        first = bisect_right(self._offsets, start) - 1
        skip = start - self._offsets[first]
        for file in self._files[first:]:
            yield from _member(file, skip)
            skip = 0
        if skip < len(_END):
            yield _END[skip:]


def _member(file: SourceFile, skip: int) -> Iterator[bytes]:
    header = _header(file)
    if skip < len(header):
        yield header[skip:]
    skip = max(skip - len(header), 0)
    if skip < file.size:
        yield from file_bytes(file, skip)
    skip = max(skip - file.size, 0)
    if skip < _padding(file.size):
        yield bytes(_padding(file.size) - skip)


def _header(file: SourceFile) -> bytes:
    member = tarfile.TarInfo(file.name)
    member.size = file.size
    member.mode = 0o600
    return member.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
