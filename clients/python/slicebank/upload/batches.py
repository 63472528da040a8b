"""Which files travel together.

One request is one revision of each series in it, so the files of a series must share a request. Files are therefore
split between folders only, never inside one: a tree that is small enough goes whole; a larger one is split into its
sub-folders, and small neighbours share a request again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from slicebank.upload.discover import Discovery, Folder, SourceFile
from slicebank.upload.formats import archive_type
from slicebank.upload.tarstream import tar_length

# A study of four thin series is about 1 GiB; requests of that size keep studies whole and lose little when one breaks.
BATCH_BYTES = 1024**3
# Reading 4,000 headers takes a server about 20 s, which is the wait between the last byte sent and its answer.
BATCH_FILES = 4000


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: files to be sent as a tar made on the way, or one archive as it is."""

    name: str
    files: tuple[SourceFile, ...]
    content_type: str = "application/x-tar"

    @property
    def is_archive(self) -> bool:
        """Whether the one file is sent byte by byte instead of inside a tar."""
        return self.content_type != "application/x-tar" or (
            len(self.files) == 1 and archive_type(self.files[0].path) is not None
        )

    @property
    def length(self) -> int:
        """Bytes of the request's body."""
        return self.files[0].size if self.is_archive else tar_length(self.files)


def batches_of(found: Discovery, *, max_bytes: int = BATCH_BYTES, max_files: int = BATCH_FILES) -> tuple[Batch, ...]:
    """Group what was found into requests, in the order of the paths given; archives last, one request each."""
    made: list[Batch] = []
    for root in found.folders:
        made.extend(_pack(_units(root, max_bytes, max_files), max_bytes, max_files))
    made.extend(
        Batch(archive.name, (archive,), archive_type(archive.path) or "application/zip") for archive in found.archives
    )
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
