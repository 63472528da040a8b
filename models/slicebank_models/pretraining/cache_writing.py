"""Writes a cache of slices: whole or not at all. No torch here."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import BadPretrainingSetting, BadSliceCache, SourceProblem
from slicebank_models.pretraining.cache_layout import (
    FORMAT,
    INDEX,
    LEFT_OUT,
    PIXEL,
    SHARD_BYTES,
    cache_digest,
    is_cache,
    shard_name,
    slices_per_shard,
)
from slicebank_models.pretraining.slice_source import LesionBox, SliceSource, SourceSlice
from slicebank_models.pretraining.slice_tables import SliceTables
from slicebank_models.pretraining.squaring import clip_box, square_box, square_slice

# Number of the source from 0, its name, slices of it done, and about how many it has.
Progress = Callable[[int, str, int, int], None]

_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}

# Smaller ones show nothing; larger ones are no CT.
SIDES = (16, 4096)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What was taken from one source.

    Attributes:
        name: Of the source.
        patients: How many.
        series: How many.
        slices: How many.
        annotated: Slices with a box.
        boxes: How many.
        clipped: Boxes of which a part lay outside the picture.
        left_out: Things that were not taken, each with a sentence in the report.
    """

    name: str
    patients: int
    series: int
    slices: int
    annotated: int
    boxes: int
    clipped: int
    left_out: int


@dataclass(frozen=True, slots=True)
class CacheReport:
    """A cache that was written.

    Attributes:
        folder: Where it is.
        digest: As `SliceCache.digest`.
        patients: How many; one that two sources name alike counts once.
        size_bytes: Of the pixels.
        sources: One by one.
        left_out: A sentence for everything that was not taken.
    """

    folder: Path
    digest: str
    patients: int
    size_bytes: int
    sources: tuple[SourceReport, ...]
    left_out: tuple[str, ...]


def write_cache(
    sources: Sequence[SliceSource],
    folder: Path,
    *,
    side: int = 512,
    progress: Progress | None = None,
    request: str = "",
    shard_bytes: int = SHARD_BYTES,
) -> CacheReport:
    """Reads all slices of the sources into a new cache.

    Boxes are clipped at the border of their picture; those of which nothing is left are left out and named.

    Args:
        sources: At least one.
        folder: Must not be there yet, or be empty.
        side: Rows and columns that every slice gets.
        progress: Called after every slice.
        request: What was asked for, in the caller's words; kept beside, and no part of the digest.
        shard_bytes: Largest size of a file of pixels.

    Raises:
        BadPretrainingSetting: `side` is none.
        BadSliceCache: The folder is taken, another process writes it, or the disk is too small.
        SourceProblem: A source cannot be read, or none has a slice.
    """
    if not SIDES[0] <= side <= SIDES[1]:
        raise BadPretrainingSetting(f"A cache's side must be from {SIDES[0]} to {SIDES[1]} pixels, not {side}.")
    folder = Path(folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        kind = "holds a slice cache already" if is_cache(folder) else "is there already, and is no slice cache"
        raise BadSliceCache(f"{folder} {kind}: name another folder, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _require_space(folder, sum(len(source) for source in sources) * side * side * PIXEL.itemsize)
    with _partial_folder(folder) as partial:
        writing = _Writing(partial, side, slices_per_shard(side, shard_bytes))
        try:
            for source in sources:
                writing.take(source, progress)
            digest = writing.finish(request)
        except OSError as error:
            raise BadSliceCache(f"The slice cache {folder} cannot be written: {error}.") from error
        finally:
            writing.close()
        partial.rename(folder)
    _sync_folder(folder.parent)
    return CacheReport(
        folder,
        digest,
        writing.n_patients,
        writing.n_slices * side * side * PIXEL.itemsize,
        tuple(writing.reports),
        tuple(writing.left_out),
    )


class _Writing:
    """Shards and tables as they grow."""

    def __init__(self, folder: Path, side: int, per_shard: int) -> None:
        self._folder = folder
        self._side = side
        self._per_shard = per_shard
        self._shards: list[tuple[int, str]] = []
        self._file: BinaryIO | None = None
        self._in_shard = 0
        self._sha256 = hashlib.sha256()
        self._patients: dict[str, int] = {}
        self._series: dict[tuple[int, str], int] = {}
        self._labels: dict[str, int] = {}
        # patient, series, position, label of each slice
        self._rows: list[tuple[int, int, int, int]] = []
        self._pixel_mm: list[float] = []
        self._box_starts = [0]
        self._boxes: list[tuple[float, float, float, float]] = []
        self.reports: list[SourceReport] = []
        self.left_out: list[str] = []

    @property
    def n_slices(self) -> int:
        return len(self._rows)

    @property
    def n_patients(self) -> int:
        return len(self._patients)

    def take(self, source: SliceSource, progress: Progress | None) -> None:
        number, first, first_box, dropped, clipped = len(self.reports), self.n_slices, len(self._boxes), 0, 0
        about = len(source)
        for taken in source.slices():
            rows, columns = taken.hu.shape
            kept = [clip_box(box, rows, columns) for box in taken.boxes]
            for box, within in zip(taken.boxes, kept, strict=True):
                if within is None:
                    dropped += 1
                    self.left_out.append(_no_box(source.name, taken, box))
                elif within != box:
                    clipped += 1
            self._add(number, taken, [box for box in kept if box is not None])
            if progress is not None:
                progress(number, source.name, self.n_slices - first, max(about, self.n_slices - first))
        self.left_out += [f"{source.name}: {sentence}" for sentence in source.left_out]
        own = np.array(self._rows[first:], np.int64).reshape(-1, 4)
        self.reports.append(
            SourceReport(
                source.name,
                len(np.unique(own[:, 0])),
                len(np.unique(own[:, 1])),
                len(own),
                int((np.diff(self._box_starts[first:]) > 0).sum()),
                len(self._boxes) - first_box,
                clipped,
                dropped + len(source.left_out),
            )
        )

    def _add(self, source: int, taken: SourceSlice, boxes: Sequence[LesionBox]) -> None:
        rows, columns = taken.hu.shape
        self._write(square_slice(taken.hu, self._side))
        patient = self._patients.setdefault(taken.patient, len(self._patients))
        series = self._series.setdefault((source, taken.series), len(self._series))
        label = self._labels.setdefault(taken.label, len(self._labels)) if taken.label else -1
        self._rows.append((patient, series, taken.position, label))
        self._pixel_mm.append(taken.pixel_mm * max(rows, columns) / self._side)
        for box in boxes:
            square = square_box(box, rows, columns, self._side)
            self._boxes.append((square.row_start, square.column_start, square.row_stop, square.column_stop))
        self._box_starts.append(len(self._boxes))

    def _write(self, hu: NDArray[np.int16]) -> None:
        if self._file is None:
            self._file = (self._folder / shard_name(len(self._shards))).open("wb")
        data = np.ascontiguousarray(hu, PIXEL).data
        self._file.write(data)
        self._sha256.update(data)
        self._in_shard += 1
        if self._in_shard == self._per_shard:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self.close()
            self._shards.append((self._in_shard, self._sha256.hexdigest()))
            self._in_shard, self._sha256 = 0, hashlib.sha256()

    def close(self) -> None:
        """Closes the shard that is open, if one is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self, request: str) -> str:
        """Writes tables, sentences and, last, the index; returns the digest."""
        self._end_shard()
        if not self._rows:
            reasons = " ".join(self.left_out[:5])
            raise SourceProblem(f"No slice was found. {reasons}".rstrip())
        rows = np.array(self._rows, np.int32)
        tables = SliceTables(
            patients=rows[:, 0].copy(),
            series=rows[:, 1].copy(),
            positions=rows[:, 2].copy(),
            labels=rows[:, 3].copy(),
            pixel_mm=np.array(self._pixel_mm, np.float32),
            box_starts=np.array(self._box_starts, np.int64),
            boxes=np.array(self._boxes, np.float32).reshape(-1, 4),
            series_names=np.array([name for _, name in self._series], np.str_),
            label_names=np.array(list(self._labels), np.str_),
        )
        tables.save(self._folder)
        checksum = tables.checksum()
        (self._folder / LEFT_OUT).write_text("".join(f"{line}\n" for line in self.left_out), encoding="utf-8")
        record = {
            "sources": [asdict(report) for report in self.reports],
            "patients": self.n_patients,
            "series": len(self._series),
            "slices": self.n_slices,
            "annotated": int((np.diff(tables.box_starts) > 0).sum()),
            "boxes": len(tables.boxes),
            "labels": dict(zip(self._labels, np.bincount(rows[:, 3] + 1, minlength=1)[1:].tolist(), strict=True)),
        }
        index = {
            "format": FORMAT,
            "side": self._side,
            "shards": [
                {"file": shard_name(number), "slices": slices, "sha256": sha256}
                for number, (slices, sha256) in enumerate(self._shards)
            ],
            "tables": checksum,
            "request": request,
            "record": record,
        }
        (self._folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        for path in self._folder.iterdir():
            _sync(path, os.O_RDONLY)
        _sync_folder(self._folder)
        return cache_digest(self._side, [sha256 for _, sha256 in self._shards], checksum)


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one; what a killed process left there is removed, what a living one writes is not."""
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadSliceCache(f"Another process is making the slice cache {folder} right now.") from error
        except OSError as error:
            # Some network file systems lock no folders; there nobody sees that two processes make one cache.
            if error.errno not in _NO_LOCKS:
                raise
        for leftover in partial.iterdir():
            leftover.unlink()
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise BadSliceCache(
            f"The slice cache {folder} needs about {needed / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB left: "
            "name a folder on another disk, or take a smaller side (half of it is a quarter of the size)."
        )


def _no_box(source: str, taken: SourceSlice, box: LesionBox) -> str:
    edges = f"rows {box.row_start:g} to {box.row_stop:g}, columns {box.column_start:g} to {box.column_stop:g}"
    return (
        f"{source}: a box of slice {taken.position} of {taken.series}, {edges}: nothing of it is in the picture of "
        f"{taken.hu.shape[0]} x {taken.hu.shape[1]} pixels."
    )


def _sync_folder(folder: Path) -> None:
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
