"""Where a zip's central directory is and how many entries it claims (APPNOTE 6.3.10, sections 4.3.14 to 4.3.16)."""

import os
from dataclasses import dataclass
from struct import Struct
from typing import IO

from slicebank_imaging.errors import BadArchive

_END = Struct("<4s4H2LH")
_LOCATOR = Struct("<4sLQL")
_END64 = Struct("<4sQ2H2L4Q")
_MAX_COMMENT_BYTES = 0xFFFF


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The end of a zip.

    Attributes:
        entries: As claimed; nothing holds the sender to it.
        start: Of the central directory, bytes from the start of the file.
        size: Of the central directory, bytes.
        prefix: Bytes before the zip itself, such as a self-extracting program; offsets leave them out.
    """

    entries: int
    start: int
    size: int
    prefix: int


def find_end(file: IO[bytes]) -> EndRecord | None:
    """Read the end of a zip; None where there is none.

    Raises:
        BadArchive: it is one part of several, or its numbers cannot be true.
    """
    length = os.fstat(file.fileno()).st_size
    tail_start = max(0, length - _END.size - _MAX_COMMENT_BYTES)
    tail = os.pread(file.fileno(), length - tail_start, tail_start)
    at = _find_signature(tail)
    if at is None:
        return None
    _, disk, first_disk, _, entries, size, offset, _ = _END.unpack_from(tail, at)
    position = tail_start + at
    locator = os.pread(file.fileno(), _LOCATOR.size, max(0, position - _LOCATOR.size))
    if locator.startswith(b"PK\x06\x07") and len(locator) == _LOCATOR.size:
        position -= _LOCATOR.size + _END64.size
        record = os.pread(file.fileno(), _END64.size, max(0, position))
        if position < 0 or not record.startswith(b"PK\x06\x06") or len(record) < _END64.size:
            raise BadArchive("the zip64 record at the end of the zip is damaged; pack the folder again")
        _, _, _, _, disk, first_disk, _, entries, size, offset = _END64.unpack(record)
    if disk or first_disk:
        raise BadArchive("this zip is one part of several; pack the folder as one")
    prefix = position - size - offset
    if prefix < 0:
        raise BadArchive("the zip is cut at its start, or its directory is damaged; pack the folder again")
    return EndRecord(entries, prefix + offset, size, prefix)


def _find_signature(tail: bytes) -> int | None:
    """The last end record whose comment reaches to the end of the file, else the last one there is."""
    last = at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    while at >= 0:
        if at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return last if last >= 0 else None
