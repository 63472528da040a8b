"""From received files to the CT files among them: archives unpacked, headers read, everything else refused by name."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.headers import FileHeader, read_file_header
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.unpack import RejectedMember, UnpackLimits, recognise, unpack
from slicebank_store.intake.limits import UploadLimits
from slicebank_store.intake.received import ReceivedFile
from slicebank_store.intake.verdicts import Rejection

# Hashing frees the interpreter, reading headers does not: a third thread would only wait.
_JUDGES = 2
# Files unpacked and not judged yet: enough to keep both busy, few enough for a disk that fills up.
_WAITING = 16


@dataclass(slots=True)
class Sorted:
    """The files of an upload, judged.

    Attributes:
        headers: of the files taken, each named by its place in the upload's folder.
        names: the sender's name of each file taken or not, by that place.
        rejected: what was refused so far.
    """

    headers: list[FileHeader] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)


def sort_files(
    received: Sequence[ReceivedFile],
    folder: Path,
    options: ImportOptions,
    *,
    limits: UploadLimits,
    check_room: Callable[[], None],
) -> Sorted:
    """Judges every file of an upload; one that is bad never harms another.

    Files taken are moved into `folder` under their ordinals, all others are removed at once.

    Args:
        received: bodies in staging, single files or archives.
        folder: the upload's folder.
        options: import options.
        limits: bounds on the upload.
        check_room: called after each file; raises where no more may be written.

    Raises:
        OSError: the disk is full.
    """
    found = Sorted()
    left = _Allowance(limits.unpack.max_files, limits.unpack.max_bytes)
    with _Judges(found, folder, options, limits.intake) as judges:
        for body in received:
            with closing(_members(body, folder / "unpacking", limits.unpack, left, found.rejected)) as members:
                for path, name in members:
                    check_room()
                    judges.add(path, name)
    shutil.rmtree(folder / "unpacking", ignore_errors=True)
    return found


def judge_in_place(
    files: Iterable[Path],
    folder: Path,
    options: ImportOptions,
    *,
    limits: IntakeLimits,
    check: Callable[[], None] = lambda: None,
) -> Sorted:
    """Judges files that lie below an upload's folder already, none of them an archive, and leaves them where they are.

    Args:
        files: below `folder`.
        folder: the upload's folder.
        options: import options.
        limits: of each file.
        check: called before each file; what it raises ends the judging.
    """
    found = Sorted()
    for path in sorted(files):
        check()
        place = path.relative_to(folder).as_posix()
        found.names[place] = path.name
        try:
            header = read_file_header(path, file=place, name=path.name, options=options, limits=limits)
        except ImagingError as error:
            found.rejected.append(Rejection.of(error, name=path.name, file=place))
        else:
            found.headers.append(header)
    return found


class _Judges:
    """Judges files on threads, because their pixels are hashed, while the next ones are being unpacked; in order."""

    def __init__(self, found: Sorted, folder: Path, options: ImportOptions, limits: IntakeLimits) -> None:
        self._found = found
        self._folder = folder
        self._read = partial(read_file_header, options=options, limits=limits)
        self._pool = ThreadPoolExecutor(_JUDGES, "judge")
        self._waiting: deque[tuple[Path, str, str, Future[FileHeader]]] = deque()

    def add(self, path: Path, name: str) -> None:
        place = f"{len(self._found.names):06d}"
        self._found.names[place] = name
        self._waiting.append((path, name, place, self._pool.submit(self._read, path, file=place, name=name)))
        if len(self._waiting) > _WAITING:
            self._settle()

    def _settle(self) -> None:
        path, name, place, future = self._waiting.popleft()
        try:
            header = future.result()
        except ImagingError as error:
            self._found.rejected.append(Rejection.of(error, name=name, file=place))
            path.unlink()
        else:
            path.rename(self._folder / place)
            self._found.headers.append(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._waiting and error is None:
                self._settle()
        finally:
            self._pool.shutdown(cancel_futures=True)


@dataclass(slots=True)
class _Allowance:
    """What the upload may still bring; archives keep to it themselves, plain files were counted as they came."""

    files: int
    bytes: int

    def note(self, path: Path) -> None:
        self.files = max(0, self.files - 1)
        self.bytes = max(0, self.bytes - path.stat().st_size)


def _members(
    body: ReceivedFile, unpacking: Path, limits: UnpackLimits, left: _Allowance, rejected: list[Rejection]
) -> Generator[tuple[Path, str], None, None]:
    """The files of one body: itself, or the members of an archive."""
    kind = recognise(body.path) or body.archive
    if kind is None:
        left.note(body.path)
        yield body.path, body.name
        return
    unpacking.mkdir(exist_ok=True)
    rest = replace(limits, max_files=left.files, max_bytes=left.bytes)
    try:
        with closing(unpack(body.path, kind, unpacking, rest, name=body.name)) as members:
            for member in members:
                if isinstance(member, RejectedMember):
                    rejected.append(Rejection(member.name, "", member.code, member.detail))
                    continue
                path = unpacking / member.file
                left.note(path)
                yield path, member.name
    except ImagingError as error:
        rejected.append(Rejection.of(error, name=body.name))
    finally:
        body.path.unlink()
