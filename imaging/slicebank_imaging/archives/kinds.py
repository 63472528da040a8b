"""What kind of archive a file is, by its bytes; names and content types are no evidence."""

import tarfile
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from slicebank_imaging.archives.end_record import find_end
from slicebank_imaging.errors import BadArchive

HEAD_BYTES = 512
_DICM = slice(128, 132)  # PS3.10 section 7.1: a preamble may look like anything, so this is asked first
_USTAR = slice(257, 262)  # POSIX.1-1988 (ustar) and GNU tar
# NIfTI-1: sizeof_hdr, then the magic at byte 344; NIfTI-2 has it at byte 4.
_NIFTI = (slice(344, 348), (b"n+1\0", b"ni1\0")), (slice(4, 8), (b"n+2\0", b"ni2\0"))
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!")  # what self-extracting zips start with


class ArchiveKind(StrEnum):
    """Archives that are opened; what a compressor packed may be a tar or one single file."""

    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"

    @property
    def is_compression(self) -> bool:
        """Whether it packs one stream of bytes and knows no members."""
        return self not in (ArchiveKind.ZIP, ArchiveKind.TAR)


_COMPRESSED = {
    ArchiveKind.GZIP: b"\x1f\x8b\x08",
    ArchiveKind.BZIP2: b"BZh",
    ArchiveKind.XZ: b"\xfd7zXZ\0",
    ArchiveKind.ZSTD: b"\x28\xb5\x2f\xfd",
}


def recognise(path: Path) -> ArchiveKind | None:
    """The kind of archive that a file is; None for DICOM, NIfTI and everything else."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[_DICM] == b"DICM" or any(head[where] in magics for where, magics in _NIFTI):
        return None
    if head.startswith(_ZIP):
        return ArchiveKind.ZIP
    for kind, magic in _COMPRESSED.items():
        if head.startswith(magic):
            return kind
    if is_tar(head):
        return ArchiveKind.TAR
    if head.startswith(_PROGRAMS):
        with path.open("rb") as file, suppress(BadArchive):
            return ArchiveKind.ZIP if find_end(file) is not None else None
    return None


def is_tar(head: bytes) -> bool:
    """Whether 512 bytes are the first header of a tar, of those before POSIX too, which have a checksum only."""
    if head[_USTAR] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "replace")
    except (tarfile.TarError, ValueError):
        return False
    return True
