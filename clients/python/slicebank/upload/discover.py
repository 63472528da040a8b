"""Finding what could be DICOM below the paths a user names, reading no more than the first bytes of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from slicebank.errors import PathNotFound
from slicebank.records import Skipped
from slicebank.upload.formats import MEDIUM_INDEX, archive_type, is_junk_name, reason_to_skip, volume_type


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to send.

    Attributes:
        path: where it lies.
        name: its name for the server, relative and with slashes.
        size: bytes.
        modified_ns: when it was last written; None where nobody need know that it is still the same.
    """

    path: Path
    name: str
    size: int
    modified_ns: int | None = None


@dataclass(slots=True)
class Folder:
    """What one folder holds, below it included."""

    name: str
    files: list[SourceFile] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)

    def walk(self) -> Iterator[SourceFile]:
        """Every file of the tree, the folder's own first."""
        yield from self.files
        for folder in self.folders:
            yield from folder.walk()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: trees of files, archives and NIfTI volumes that are requests of their own, and what was left out."""

    folders: tuple[Folder, ...]
    archives: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    volumes: tuple[SourceFile, ...] = ()


def discover(paths: Iterable[Path], *, below: bool = True) -> Discovery:
    """Look through files, folders and archives; with `below` False, not through folders in folders.

    A file that is named itself is sent whatever it looks like, so that the server says what is wrong with it. Links to
    folders are not followed, which keeps a loop of links from ending nowhere. The index of a medium (DICOMDIR) stands for
    the medium, whose root it lies in (DICOM PS3.10, 8.6).

    Raises:
        PathNotFound: a path that does not exist or cannot be read.
    """
    single: list[SourceFile] = []
    walk = _Walk([], [], [], below)
    folders: list[Folder] = []
    for path in paths:
        try:
            if path.is_dir() or _is_medium_index(path):
                root = path.resolve() if path.is_dir() else path.resolve().parent
                folders.append(walk.scan(root, root.name))
            else:
                chosen = walk.archives if archive_type(path) else walk.volumes if volume_type(path) else single
                chosen.append(_source(path, path.name, path.stat()))
        except OSError as error:
            raise PathNotFound(f"{path} cannot be read: {error.strerror or error}.") from error
    if single:
        folders.insert(0, Folder("", _with_distinct_names(single)))
    return Discovery(tuple(folders), tuple(walk.archives), tuple(walk.skipped), tuple(walk.volumes))


@dataclass(frozen=True, slots=True)
class _Walk:
    archives: list[SourceFile]
    volumes: list[SourceFile]
    skipped: list[Skipped]
    below: bool

    def scan(self, folder: Path, name: str) -> Folder:
        found = Folder(name)
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            try:
                self._sort_in(entry, f"{name}/{entry.name}", found)
            except OSError as error:
                self.skipped.append(Skipped(f"{name}/{entry.name}", f"cannot be read: {error.strerror or error}"))
        return found

    def _sort_in(self, entry: os.DirEntry[str], name: str, found: Folder) -> None:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if self.below and not is_junk_name(entry.name):
                below = self.scan(path, name)
                if below.files or below.folders:
                    found.folders.append(below)
        elif entry.is_file():
            file = _source(path, name, entry.stat())
            if is_junk_name(entry.name) and (archive_type(path) or volume_type(path)):
                self.skipped.append(Skipped(name, "not an image"))
            elif archive_type(path) and file.size > 0:
                self.archives.append(file)
            elif volume_type(path) and file.size > 0:
                self.volumes.append(file)
            elif (reason := reason_to_skip(path, file.size)) is None:
                found.files.append(file)
            else:
                self.skipped.append(Skipped(name, reason))


def _is_medium_index(path: Path) -> bool:
    return path.name.upper() == MEDIUM_INDEX and path.is_file()


def _source(path: Path, name: str, status: os.stat_result) -> SourceFile:
    return SourceFile(path, name, status.st_size, status.st_mtime_ns)


def _with_distinct_names(files: list[SourceFile]) -> list[SourceFile]:
    """Put the folder's name before files that would otherwise share one."""
    counts: dict[str, int] = {}
    for file in files:
        counts[file.name] = counts.get(file.name, 0) + 1
    seen: dict[str, int] = {}
    distinct: list[SourceFile] = []
    for file in files:
        name = file.name if counts[file.name] == 1 else f"{file.path.resolve().parent.name}/{file.name}"
        seen[name] = seen.get(name, 0) + 1
        distinct.append(replace(file, name=name if seen[name] == 1 else f"{seen[name]}/{name}"))
    return distinct
