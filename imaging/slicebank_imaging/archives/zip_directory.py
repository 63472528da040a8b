"""A zip's central directory, entry by entry from the disk: memory does not grow with it (APPNOTE 6.3.10, 4.3.12)."""

import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from
from typing import IO

import numpy as np

from slicebank_imaging.archives.end_record import EndRecord
from slicebank_imaging.archives.limits import Meter
from slicebank_imaging.archives.members import is_litter
from slicebank_imaging.errors import ArchiveTooLarge, BadArchive

_ENTRY = Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_LOCAL_BYTES = 30
_UTF8 = 0x800  # general purpose bit 11
_ZIP64 = 1
_LARGE = 0xFFFFFFFF
_BUFFER_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """What the central directory says of one member.

    Attributes:
        name: With forward slashes.
        name_bytes: Length of the name as stored.
        packed: Bytes in the archive.
        size: Bytes unpacked.
        offset: Of the local header, from the start of the file.
    """

    name: str
    name_bytes: int
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int
    mode: int

    @property
    def is_folder(self) -> bool:
        """Whether nothing but a folder is meant."""
        return self.name.endswith("/")

    @property
    def is_link(self) -> bool:
        """Whether a Unix zip marks it as a symbolic link or a device."""
        return stat.S_IFMT(self.mode) not in (0, stat.S_IFREG)


def entries(file: IO[bytes], end: EndRecord) -> Iterator[Entry]:
    """Read the directory.

    Raises:
        BadArchive: it is damaged from here on.
    """
    damaged = BadArchive("the directory of the zip is damaged; pack the folder again")
    with open(file.fileno(), "rb", buffering=_BUFFER_BYTES, closefd=False) as directory:
        position = end.start
        while position + _ENTRY.size <= end.start + end.size:
            directory.seek(position)  # past the comment of the entry before
            fixed = directory.read(_ENTRY.size)
            if len(fixed) < _ENTRY.size or not fixed.startswith(_ENTRY_SIGNATURE):
                raise damaged
            _, _, _, flags, method, _, _, checksum, packed, size, n_name, n_extra, n_comment, _, _, mode, offset = (
                _ENTRY.unpack(fixed)
            )
            variable = directory.read(n_name + n_extra)
            position += _ENTRY.size + n_name + n_extra + n_comment
            if len(variable) < n_name + n_extra or position > end.start + end.size:
                raise damaged
            if _LARGE in (packed, size, offset):
                size, packed, offset = _wide(variable[n_name:], size, packed, offset)
            name = variable[:n_name].decode("utf-8" if flags & _UTF8 else "cp437", "replace").replace("\\", "/")
            # The upper half of the external attributes is the Unix mode.
            yield Entry(name, n_name, flags, method, checksum, packed, size, end.prefix + offset, mode >> 16)


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes of the zip64 extra field, which holds those numbers only that did not fit (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            wide = iter(unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            size, packed, offset = (next(wide, value) if value == _LARGE else value for value in (size, packed, offset))
            break
        at += 4 + length
    return size, packed, offset


def judge(file: IO[bytes], end: EndRecord, meter: Meter) -> None:
    """Refuse a zip by its directory, before anything of it is unpacked.

    Raises:
        ArchiveTooLarge: the directory itself is beyond its limit.
        TooManyFiles: more entries or files than are left to the upload.
        BadArchive: members overlap, as they do in bombs (Fifield, A better zip bomb, WOOT 2019).
    """
    if end.size > meter.limits.max_directory_bytes:
        raise ArchiveTooLarge(f"the directory of the zip is beyond {meter.limits.max_directory_bytes} bytes")
    meter.expect_members(end.entries)
    starts, stops = array("d"), array("d")
    try:
        for count, entry in enumerate(entries(file, end), start=1):
            meter.expect_members(count)
            if entry.is_folder or is_litter(entry.name):
                continue
            starts.append(entry.offset)
            stops.append(entry.offset + _LOCAL_BYTES + entry.name_bytes + entry.packed)
            meter.expect_files(len(starts))
    except BadArchive:
        if not starts:
            raise  # members before the damage can still be read
    spans = np.array([starts, stops])
    spans = spans[:, np.argsort(spans[0], kind="stable")]
    if (spans[1, :-1] > spans[0, 1:]).any():
        raise BadArchive("members of the zip overlap: it is damaged, or a bomb; pack the folder again")
