"""Archives of one upload, unpacked as a stream under limits; names never reach the file system."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from tarfile import RECORDSIZE
from typing import IO

from slicebank_imaging.archives.kinds import HEAD_BYTES, ArchiveKind, is_tar, recognise
from slicebank_imaging.archives.limits import Meter, UnpackLimits
from slicebank_imaging.archives.members import SINGLE, Content, Member, shown
from slicebank_imaging.archives.streams import PIECE_BYTES, inflated_file, write_all
from slicebank_imaging.archives.tar_reader import CountedFile, tar_members
from slicebank_imaging.archives.zip_reader import zip_members
from slicebank_imaging.errors import ArchiveRefused, EmptyArchive, NestedTooDeep

__all__ = ["ArchiveKind", "RejectedMember", "UnpackLimits", "UnpackedFile", "recognise", "unpack"]


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """One file: the ordinal it is stored under, and the sender's name for it, such as `inner.zip/a.dcm`."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class RejectedMember:
    """One member that was left out, and why."""

    name: str
    code: str
    detail: str


def unpack(
    path: Path, kind: ArchiveKind, into: Path, limits: UnpackLimits, *, first: int = 0, name: str = "(the only file)"
) -> Generator[UnpackedFile | RejectedMember, None, None]:
    """Unpack every file of an archive to `into/<ordinal>`; a bad member is left out and the others are kept.

    Archives inside are unpacked too, and removed; limits hold for all of it together.

    Args:
        path: The archive.
        kind: What `recognise` says of it, or what the sender says.
        into: An existing folder.
        limits: Counts and sizes.
        first: Ordinal of the first file; ordinals rise and may leave some out.
        name: The sender's name of the archive; it becomes that of the file where a compressor packed a single one.

    Raises:
        BadArchive: not an archive of that kind, or cut before its first file.
        EmptyArchive: no files.
        TooManyFiles: more files than allowed.
        ArchiveTooLarge: more bytes than allowed, or packed too tightly to be CT.
        OSError: the disk is full, or cannot be read.
    """
    meter = Meter(limits, packed=max(path.stat().st_size, 1))
    return _Unpacking(into, meter, first).run(path, kind, name, "", depth=1)


class _Unpacking:
    """One upload: where its files go and what it may still bring."""

    def __init__(self, into: Path, meter: Meter, first: int) -> None:
        self._into = into
        self._meter = meter
        self._ordinals = count(first)

    def run(
        self, path: Path, kind: ArchiveKind, name: str, prefix: str, depth: int
    ) -> Generator[UnpackedFile | RejectedMember, None, None]:
        """Unpack one archive: `name` is its own, `prefix` goes before those of its members."""
        found = False
        # The archive must not stay open, and its bytes on the disk, for as long as an error is remembered.
        with closing(_members(path, kind, self._meter)) as members:
            try:
                for member in members:
                    found = True
                    whole_name = name if member.name is SINGLE else prefix + member.name
                    yield from self._take(member.content, whole_name, depth)
            except ArchiveRefused as error:
                if not found or self._meter.exceeded:
                    raise
                yield RejectedMember(shown(f"{prefix}(rest of the archive)"), error.code, error.detail)
        if not found:
            raise EmptyArchive("the archive holds no files; pack the folder with the .dcm files")

    def _take(
        self, content: Content | ArchiveRefused, name: str, depth: int
    ) -> Generator[UnpackedFile | RejectedMember, None, None]:
        self._meter.add_file()
        ordinal = f"{next(self._ordinals):06d}"
        try:
            if isinstance(content, ArchiveRefused):
                raise content
            target = self._into / ordinal
            _store(content, target)
            kind = recognise(target)
            if kind is None:
                yield UnpackedFile(ordinal, shown(name))
            else:
                yield from self._take_nested(target, kind, name, depth)
        except ArchiveRefused as error:
            if self._meter.exceeded:
                raise
            yield RejectedMember(shown(name), error.code, error.detail)

    def _take_nested(
        self, path: Path, kind: ArchiveKind, name: str, depth: int
    ) -> Generator[UnpackedFile | RejectedMember, None, None]:
        try:
            deepest = self._meter.limits.max_depth
            if depth >= deepest:
                raise NestedTooDeep(f"archives are opened to a depth of {deepest}; pack the folder once")
            yield from self.run(path, kind, name, f"{name}/", depth + 1)
        finally:
            size = path.stat().st_size
            path.unlink()
        self._meter.give_back(size)


def _store(content: Content, target: Path) -> None:
    try:
        with target.open("xb", buffering=0) as sink:
            content(sink)
    except (ArchiveRefused, OSError):
        target.unlink(missing_ok=True)
        raise


def _members(path: Path, kind: ArchiveKind, meter: Meter) -> Generator[Member, None, None]:
    if kind is ArchiveKind.ZIP:
        yield from zip_members(path, meter)
        return
    compression = recognise(path)
    with path.open("rb", buffering=0) as file:
        if compression is None or not compression.is_compression:
            yield from tar_members(CountedFile(file.fileno(), meter), meter)
            return
        with inflated_file(file, compression, meter) as stream:
            ahead = stream.peek(HEAD_BYTES)
            empty_tar = len(ahead) <= RECORDSIZE and not any(ahead)  # zeros, as its end is
            if is_tar(ahead[:HEAD_BYTES]) or empty_tar:
                yield from tar_members(stream, meter)
            else:
                yield Member(SINGLE, partial(_copy_rest, stream))


def _copy_rest(stream: IO[bytes], sink: IO[bytes]) -> None:
    while piece := stream.read(PIECE_BYTES):
        write_all(sink, piece)
