"""Archives of one upload, unpacked as a stream under limits; names never reach the file system."""

import errno
import gzip
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from slicebank_imaging.errors import (
    ArchiveTooLarge,
    BadArchive,
    EmptyArchive,
    EncryptedArchive,
    ImagingError,
    TooManyFiles,
    UnsafeName,
)

CHUNK_BYTES = 1 << 20
TAR_HEADER_BYTES = 4 << 20  # between two members; real ones are a few KB
RATIO_FLOOR_BYTES = 64 << 20  # small archives of flat test images pack far better than real CT, which reaches 3 to 1
ENCRYPTED = 0x1 | 0x40  # general purpose bits 0 and 6 (APPNOTE 4.4.4)
# What macOS and Windows add by themselves; nobody sent it on purpose, so it is passed over without a note.
_LITTER_FOLDERS = frozenset({"__MACOSX"})
_LITTER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, OSError, NotImplementedError)


class ArchiveKind(StrEnum):
    """Archives that are opened; a tar may be compressed with gzip."""

    ZIP = "zip"
    TAR = "tar"


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What one archive may hold.

    Attributes:
        max_files: Members, files only.
        max_bytes: Unpacked bytes of all members.
        max_ratio: Unpacked to packed bytes, judged above 64 MB.
    """

    max_files: int = 20_000  # the largest studies hold about 10,000 slices
    max_bytes: int = 16 << 30
    max_ratio: float = 200.0  # a disc of empty slices reaches about 100


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """One member: the ordinal it is stored under, and the sender's name for it."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class RejectedMember:
    """One member that was left out, and why."""

    name: str
    code: str
    detail: str


def unpack(
    path: Path, kind: ArchiveKind, into: Path, limits: UnpackLimits, *, first: int = 0
) -> Generator[UnpackedFile | RejectedMember, None, None]:
    """Unpack every file of an archive to `into/<ordinal>`; a bad member is left out and the others are kept.

    Args:
        path: The archive.
        kind: Zip, or tar with or without gzip.
        into: An existing folder.
        limits: Counts and sizes.
        first: Ordinal of the first file.

    Raises:
        BadArchive: not an archive of that kind, or cut before its first file.
        EmptyArchive: no files.
        TooManyFiles: more files than allowed.
        ArchiveTooLarge: more bytes than allowed, or packed too tightly to be CT.
        OSError: the disk is full; other errors of the system are taken for damage.
    """
    meter = _Meter(limits, packed=max(path.stat().st_size, 1))
    members = _zip_members(path, meter) if kind is ArchiveKind.ZIP else _tar_members(path, meter)
    count = 0
    try:
        with closing(
            members
        ):  # the archive must not stay open, and its bytes on the disk, for as long as an error is remembered
            for name, content in members:
                count += 1
                if count > limits.max_files:
                    raise TooManyFiles(f"the archive holds more than {limits.max_files} files; send it in parts")
                if isinstance(content, ImagingError):
                    yield RejectedMember(name, content.code, content.detail)
                    continue
                ordinal = f"{first + count - 1:06d}"
                rejected = _store(content, into / ordinal, name)
                yield UnpackedFile(ordinal, name) if rejected is None else rejected
    except _DAMAGED as error:
        if _disk_is_full(error):
            raise
        if count == 0:
            raise BadArchive(f"the body is not a readable {kind} archive; pack the folder again") from error
        damage = BadArchive("the archive is damaged from here on; what came before was taken")
        yield RejectedMember("(rest of the archive)", damage.code, damage.detail)
    if count == 0:
        raise EmptyArchive("the archive holds no files; pack the folder with the .dcm files")


class _Meter:
    """Counts unpacked bytes against the limits."""

    def __init__(self, limits: UnpackLimits, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._bytes = 0

    def add(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.max_bytes:
            raise ArchiveTooLarge(f"the archive unpacks to more than {self._limits.max_bytes} bytes; send it in parts")
        if self._bytes > max(RATIO_FLOOR_BYTES, self._limits.max_ratio * self._packed):
            raise ArchiveTooLarge(
                f"the archive unpacks to more than {self._limits.max_ratio:g} times its size, which CT never does"
            )


def _disk_is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


_Content = _Readable | ImagingError


def _store(content: _Readable, target: Path, name: str) -> RejectedMember | None:
    """Copy one member; a damaged one is removed again and reported."""
    try:
        with target.open("xb") as sink:
            while chunk := content.read(CHUNK_BYTES):
                sink.write(chunk)
    except ArchiveTooLarge:
        target.unlink(missing_ok=True)
        raise
    except _DAMAGED as damage:
        target.unlink(missing_ok=True)
        if _disk_is_full(damage):
            raise
        error = BadArchive("this file of the archive is damaged; send it again")
        return RejectedMember(name, error.code, error.detail)
    return None


def _zip_members(path: Path, meter: _Meter) -> Generator[tuple[str, _Content], None, None]:
    with _opened_zip(path) as archive:
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            if info.is_dir() or _is_litter(name):
                continue
            if info.flag_bits & ENCRYPTED:
                yield name, EncryptedArchive("this file needs a password; pack the folder again without one")
            elif not _is_safe(name) or stat.S_ISLNK(info.external_attr >> 16):
                yield name, UnsafeName(_UNSAFE)
            else:
                try:
                    content = archive.open(info)
                except (*_DAMAGED, RuntimeError, ValueError):  # RuntimeError: only the local header asks for a password
                    yield name, BadArchive("this file of the archive cannot be read; pack the folder again")
                    continue
                with content:
                    yield name, _Counted(content, meter)


@contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except ValueError as error:  # names that no encoding reads, offsets before the file
        raise zipfile.BadZipFile(str(error)) from error
    with archive:
        yield archive


class _Counted:
    """A member of a zip whose bytes count against the limits."""

    def __init__(self, content: _Readable, meter: _Meter) -> None:
        self._content = content
        self._meter = meter

    def read(self, size: int, /) -> bytes:
        data = self._content.read(size)
        self._meter.add(len(data))
        return data


def _tar_members(path: Path, meter: _Meter) -> Generator[tuple[str, _Content], None, None]:
    with path.open("rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if gzipped else path.open("rb") as stream:
        counted = _TarStream(stream, meter)
        with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|") as archive:
            for member in archive:
                counted.in_header = False
                name = member.name.replace("\\", "/")
                if not (member.isdir() or _is_litter(name)):
                    content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
                    safe = content is not None and _is_safe(name)
                    yield name, content if safe and content is not None else UnsafeName(_UNSAFE)
                if archive.fileobj is not None:
                    archive.fileobj.seek(archive.offset)  # past the member, so that only a header follows
                counted.start_header()


class _TarStream:
    """The bytes of a tar: counted, and with a bound on headers, which tarfile reads into memory whatever their size."""

    def __init__(self, stream: _Readable, meter: _Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._header_bytes = 0
        self.in_header = True

    def start_header(self) -> None:
        self._header_bytes = 0
        self.in_header = True

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._meter.add(len(data))
        if self.in_header:
            self._header_bytes += len(data)
            if self._header_bytes > TAR_HEADER_BYTES:
                raise ArchiveTooLarge("a header inside the tar is larger than any file name needs; pack it again")
        return data


_UNSAFE = "the name leaves the archive, or the member is a link or device; pack plain files with relative names"


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name and ":" not in parts[0]


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if not parts:
        return False
    return not _LITTER_FOLDERS.isdisjoint(parts) or parts[-1] in _LITTER_FILES or parts[-1].startswith("._")
