"""Which files travel together.

One request is one revision of each series in it, so the files of a series must share a request. Files are therefore
split between folders only, never inside one: a tree that is small enough goes whole; a larger one is split into its
sub-folders, and small neighbours share a request again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from slicebank.upload.bodies import Body, FileBody
from slicebank.upload.discover import Discovery, Folder, SourceFile
from slicebank.upload.formats import archive_type, volume_type
from slicebank.upload.tarstream import TarBody

# A study of four thin series is about 1 GiB; requests of that size keep studies whole and lose little when one breaks.
BATCH_BYTES = 1024**3
# Reading 4,000 headers takes a server about 20 s, which is the wait between the last byte sent and its answer.
BATCH_FILES = 4000


@dataclass(frozen=True, slots=True)
class Batch:
    """One request.

    Attributes:
        name: for people.
        files: what is sent: as a tar made on the way, or the one archive or volume as it is.
        content_type: of the body.
        as_it_is: there is one file, and it is sent byte by byte instead of inside a tar.
    """

    name: str
    files: tuple[SourceFile, ...]
    content_type: str = "application/x-tar"
    as_it_is: bool = False

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in self.files)

    def body(self) -> Body:
        """The request's body."""
        return FileBody(self.files[0]) if self.as_it_is else TarBody(self.files)


def batches_of(found: Discovery, *, max_bytes: int = BATCH_BYTES, max_files: int = BATCH_FILES) -> tuple[Batch, ...]:
    """Group what was found into requests, in the order of the paths given; volumes and archives last, one request each."""
    made: list[Batch] = []
    for root in found.folders:
        made.extend(_pack(_units(root, max_bytes, max_files), max_bytes, max_files))
    for alone in (*found.volumes, *found.archives):
        kind = archive_type(alone.path) or volume_type(alone.path) or "application/octet-stream"
        made.append(Batch(alone.name, (alone,), kind, as_it_is=True))
    return tuple(made)


def _units(folder: Folder, max_bytes: int, max_files: int) -> Iterator[tuple[str, tuple[SourceFile, ...]]]:
    """Sets of files that must not be split."""
    files = tuple(folder.walk())
    if not folder.folders or (sum(file.size for file in files) <= max_bytes and len(files) <= max_files):
        if files:
            yield folder.name, files
        return
    if folder.files:
        yield folder.name, tuple(folder.files)
    for below in folder.folders:
        yield from _units(below, max_bytes, max_files)


def _pack(units: Iterable[tuple[str, tuple[SourceFile, ...]]], max_bytes: int, max_files: int) -> Iterator[Batch]:
    name, files, size = "", list[SourceFile](), 0
    for unit_name, unit in units:
        unit_size = sum(file.size for file in unit)
        if files and (size + unit_size > max_bytes or len(files) + len(unit) > max_files):
            yield Batch(name, tuple(files))
            name, files, size = "", [], 0
        name, size = name or unit_name, size + unit_size
        files.extend(unit)
    if files:
        yield Batch(name, tuple(files))
