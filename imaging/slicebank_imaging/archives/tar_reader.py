"""Members of a tar (POSIX.1-2001 pax and GNU); headers are read here in bounded memory and in one pass.

tarfile keeps every header, follows chains of them by recursion, and searches pax headers in quadratic time; its parser
of one 512-byte header is used.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from slicebank_imaging.archives.limits import Meter
from slicebank_imaging.archives.members import UNSAFE, Member, is_litter, is_safe
from slicebank_imaging.archives.streams import DAMAGED, PIECE_BYTES, write_all
from slicebank_imaging.errors import ArchiveTooLarge, BadArchive, UnsafeName

_BLOCK = tarfile.BLOCKSIZE
_MORE_SPARSE = 482  # GNU: a block of the map of holes follows if not 0; byte 504 of each such block likewise
_MORE_SPARSE_AGAIN = 504
_NO_TAR = "this is no readable tar; pack the folder again"
_DAMAGED_TAR = "the tar is damaged or cut short from here on; send it again"


@dataclass(slots=True)
class _Extended:
    """What the headers before a member say of it."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False
    header_bytes: int = 0


class Stream(Protocol):
    """What is read forwards only; short of `size` at the end alone."""

    def read(self, size: int, /) -> bytes:
        """Bytes from where the last reading ended."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Likewise, into memory that is there already."""


def tar_members(stream: Stream, meter: Meter) -> Iterator[Member]:
    """List the files of a tar as they come.

    Args:
        stream: The tar itself; read forwards only.
        meter: Of the upload; whoever reads or inflates `stream` counts the bytes.

    Raises:
        BadArchive: no tar, or damaged from here on.
        ArchiveTooLarge: a header that is larger than any name needs.
        TooManyFiles: more entries than allowed.
    """
    extended = _Extended()
    damage = _NO_TAR
    piece = memoryview(bytearray(PIECE_BYTES))
    while (block := stream.read(_BLOCK)) and block.count(0) < _BLOCK:
        header = _parse(block, damage)
        damage = _DAMAGED_TAR
        padding = -header.size % _BLOCK
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            data = _read_header(stream, header.size + padding, extended, meter)[: header.size]
            _note(data, header.type, extended)
            continue
        if header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            _read_header(stream, header.size + padding, extended, meter)
            continue
        meter.add_member()
        size = header.size if extended.size is None else extended.size
        if header.type == tarfile.GNUTYPE_SPARSE:
            _skip_sparse_map(stream, block, extended, meter)
        holds_data = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        content = _Content(stream, size if holds_data else 0, piece)
        name = (header.name if extended.name is None else extended.name.decode("utf-8", "replace")).replace("\\", "/")
        if not (header.isdir() or name.endswith("/") or is_litter(name)):
            plain = header.isreg() and header.type != tarfile.GNUTYPE_SPARSE and not extended.sparse
            yield Member(name, content.write_to if plain and is_safe(name) else UnsafeName(UNSAFE))
        content.skip()
        extended = _Extended()
    if 0 < len(block) < _BLOCK or (not block and extended.header_bytes):
        raise BadArchive(damage)


class _Content:
    """The bytes of one member, which lie ahead in the stream."""

    def __init__(self, stream: Stream, size: int, piece: memoryview) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK
        self._piece = piece

    def write_to(self, sink: IO[bytes]) -> None:
        while self._left:
            count = self._stream.readinto(self._piece[: self._left])
            if not count:
                raise BadArchive(DAMAGED)
            self._left -= count
            write_all(sink, self._piece[:count])

    def skip(self) -> None:
        left = self._left + self._padding
        while left:
            count = self._stream.readinto(self._piece[:left])
            if not count:
                raise BadArchive(_DAMAGED_TAR)
            left -= count


def _parse(block: bytes, damage: str) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BadArchive(damage) from error
    if header.size < 0:
        raise BadArchive(_DAMAGED_TAR)
    return header


def _read_header(stream: Stream, size: int, extended: _Extended, meter: Meter) -> bytes:
    extended.header_bytes += _BLOCK + size
    if extended.header_bytes > meter.limits.max_header_bytes:
        raise ArchiveTooLarge("a header inside the tar is larger than any file name needs; pack it again")
    data = stream.read(size)
    if len(data) < size:
        raise BadArchive(_DAMAGED_TAR)
    return data


def _note(data: bytes, kind: bytes, extended: _Extended) -> None:
    if kind == tarfile.GNUTYPE_LONGNAME:
        extended.name = data.rstrip(b"\0")
        return
    for keyword, value in _pax_records(data):
        if keyword == b"path":
            extended.name = value
        elif keyword == b"size":
            if not value.isdigit() or len(value) > len(str(1 << 63)):
                raise BadArchive(_DAMAGED_TAR)
            extended.size = int(value)
        elif keyword.startswith(b"GNU.sparse."):
            extended.sparse = True


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Records of "length keyword=value" and a line end; the length counts all of it, itself too."""
    at = 0
    while at < len(data) and data[at]:
        digits, found, _ = data[at : at + 20].partition(b" ")
        length = int(digits) if found and digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        keyword, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or at + length > len(data):
            raise BadArchive(_DAMAGED_TAR)
        yield keyword, value
        at += length


def _skip_sparse_map(stream: Stream, block: bytes, extended: _Extended, meter: Meter) -> None:
    more = block[_MORE_SPARSE]
    while more:
        more = _read_header(stream, _BLOCK, extended, meter)[_MORE_SPARSE_AGAIN]


class CountedFile:
    """A plain tar on the disk, whose bytes count as unpacked."""

    def __init__(self, descriptor: int, meter: Meter) -> None:
        self._descriptor = descriptor
        self._meter = meter

    def read(self, size: int, /) -> bytes:
        """Bytes from where the last reading ended."""
        data = os.read(self._descriptor, size)
        self._meter.add_bytes(len(data))
        return data

    def readinto(self, buffer: memoryview, /) -> int:
        """Likewise, into memory that is there already."""
        count = os.readv(self._descriptor, [buffer])
        self._meter.add_bytes(count)
        return count
