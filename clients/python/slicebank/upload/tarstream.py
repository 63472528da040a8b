"""A tar archive as a stream of bytes whose length is known before the first of them is made."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from slicebank.errors import FileChanged
from slicebank.upload.discover import SourceFile

CHUNK_BYTES = 256 * 1024
_END = bytes(2 * tarfile.BLOCKSIZE)  # POSIX pax: two blocks of zeros


def tar_length(files: Iterable[SourceFile]) -> int:
    """Bytes that `tar_stream` makes of the same files."""
    return sum(len(_header(file)) + file.size + _padding(file.size) for file in files) + len(_END)


def tar_stream(files: Iterable[SourceFile]) -> Iterator[bytes]:
    """Make the archive chunk by chunk; members carry name and size and nothing else of this machine.

    Raises:
        FileChanged: a file vanished or is shorter than when it was found.
    """
    for file in files:
        yield _header(file)
        yield from file_stream(file)
        if padding := _padding(file.size):
            yield bytes(padding)
    yield _END


def file_stream(file: SourceFile) -> Iterator[bytes]:
    """The bytes of one file, exactly as many as were counted when it was found.

    Raises:
        FileChanged: it vanished or is shorter now.
    """
    left = file.size
    try:
        with file.path.open("rb") as source:
            while left:
                chunk = source.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise FileChanged(f"{file.path} became shorter while it was being sent.")
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise FileChanged(f"{file.path} cannot be read any more: {error.strerror or error}.") from error


def _header(file: SourceFile) -> bytes:
    member = tarfile.TarInfo(file.name)
    member.size = file.size
    member.mode = 0o600
    return member.tobuf(format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
