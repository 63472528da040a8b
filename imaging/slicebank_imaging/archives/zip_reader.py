"""Members of a zip: stored, deflated, bzip2, xz and zstd; checksums and sizes must be what the directory says."""

import os
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from struct import Struct
from typing import IO

from slicebank_imaging.archives.end_record import find_end
from slicebank_imaging.archives.kinds import ArchiveKind
from slicebank_imaging.archives.limits import Meter
from slicebank_imaging.archives.members import UNSAFE, Member, is_litter, is_safe
from slicebank_imaging.archives.streams import (
    DAMAGED,
    PIECE_BYTES,
    Decompressor,
    Deflate,
    Inflated,
    decompressor,
    write_all,
)
from slicebank_imaging.archives.zip_directory import Entry, entries, judge
from slicebank_imaging.errors import ArchiveRefused, BadArchive, EncryptedArchive, UnsafeName

_LOCAL = Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40  # general purpose bits 0 and 6 (APPNOTE 4.4.4)
_STORED = 0
_DEFLATED = 8
_METHODS = {12: ArchiveKind.BZIP2, 93: ArchiveKind.ZSTD, 95: ArchiveKind.XZ}  # APPNOTE 4.4.5


def zip_members(path: Path, meter: Meter) -> Iterator[Member]:
    """List the files of a zip in the order of its directory.

    Raises:
        BadArchive: no zip, or damaged from here on.
        ArchiveTooLarge: beyond the limits, by what its directory says.
        TooManyFiles: likewise.
    """
    with path.open("rb", buffering=0) as file:
        end = find_end(file)
        if end is None:
            raise BadArchive("the zip is cut short; send it again")
        judge(file, end, meter)
        piece = memoryview(bytearray(PIECE_BYTES))
        for entry in entries(file, end):
            meter.add_member()
            if not (entry.is_folder or is_litter(entry.name)):
                refusal = _refusal(entry)
                yield Member(entry.name, refusal if refusal is not None else partial(_copy, file, entry, meter, piece))


def _refusal(entry: Entry) -> ArchiveRefused | None:
    if entry.flags & _ENCRYPTED:
        return EncryptedArchive("this file needs a password; pack the folder again without one")
    if not is_safe(entry.name) or entry.is_link:
        return UnsafeName(UNSAFE)
    if entry.method not in (_STORED, _DEFLATED, *_METHODS):
        return BadArchive(f"compression method {entry.method} of the zip is not read; pack the folder with deflate")
    return None


def _copy(file: IO[bytes], entry: Entry, meter: Meter, piece: memoryview, sink: IO[bytes]) -> None:
    start = _content_start(file.fileno(), entry)
    if entry.method == _STORED:
        if entry.packed != entry.size:
            raise BadArchive(DAMAGED)
        checksum = _copy_stored(file.fileno(), start, entry.size, meter, piece, sink)
    else:
        packed = _bounded(file.fileno(), start, entry.packed)
        checksum = Inflated(packed, _fresh(entry.method, meter), meter).write_to(sink, entry.size)
    if checksum != entry.checksum:
        raise BadArchive(DAMAGED)


def _content_start(descriptor: int, entry: Entry) -> int:
    """Where the member's bytes start; only the local header says how long its own extra field is."""
    if entry.offset >= os.fstat(descriptor).st_size:
        raise BadArchive(DAMAGED)
    local = os.pread(descriptor, _LOCAL.size, entry.offset)
    if len(local) < _LOCAL.size or not local.startswith(_LOCAL_SIGNATURE):
        raise BadArchive(DAMAGED)
    _, _, flags, _, _, _, _, _, _, n_name, n_extra = _LOCAL.unpack(local)
    if flags & _ENCRYPTED:
        raise EncryptedArchive("this file needs a password; pack the folder again without one")
    return entry.offset + _LOCAL.size + int(n_name + n_extra)


def _fresh(method: int, meter: Meter) -> Callable[[], Decompressor]:
    if method == _DEFLATED:
        return lambda: Deflate(-zlib.MAX_WBITS)
    return lambda: decompressor(_METHODS[method], meter.limits.max_window_bytes)


def _bounded(descriptor: int, start: int, size: int) -> Callable[[int], bytes]:
    """Reads one range of a file in turn."""
    position, stop = start, start + size

    def read(most: int) -> bytes:
        nonlocal position
        data = os.pread(descriptor, min(most, stop - position), position)
        position += len(data)
        return data

    return read


def _copy_stored(descriptor: int, start: int, size: int, meter: Meter, piece: memoryview, sink: IO[bytes]) -> int:
    """Copy a range of the file by way of `piece`; returns its CRC-32.

    Copying inside the kernel was no faster on ext4, and the checksum needs the bytes here anyway.
    """
    checksum = 0
    while size:
        count = os.preadv(descriptor, [piece[:size]], start)
        if not count:
            raise BadArchive(DAMAGED)
        meter.add_bytes(count)
        checksum = zlib.crc32(piece[:count], checksum)
        write_all(sink, piece[:count])
        start += count
        size -= count
    return checksum
