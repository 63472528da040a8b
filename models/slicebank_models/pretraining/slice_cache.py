"""Decoded slices of one side on disk, read at the speed of memory. No torch here.

A cache is a folder: `index.json` (format, side, shards with their checksums, record of the sources), `slices.npz`
(`SliceTables`) and shards `slices-00000.i16` of little-endian int16 HU, one slice after the other, of at most 1 GiB each.
"""

import hashlib
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import BadSliceCache
from slicebank_models.pretraining.cache_layout import FORMAT, INDEX, PIXEL, cache_digest, is_cache
from slicebank_models.pretraining.cache_writing import CacheReport, Progress, write_cache
from slicebank_models.pretraining.slice_tables import SliceTables

__all__ = ["CacheReport", "Progress", "SliceCache", "is_cache", "write_cache"]

JSON = dict[str, Any]

_CHUNK = 8 << 20


class SliceCache:
    """A cache, opened for reading; any number of threads and processes may read one.

    Args:
        folder: Of the cache.

    Raises:
        BadSliceCache: There is none, it is of another version, or a file is missing, damaged or of the wrong size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        try:
            if index["format"] != FORMAT:
                raise BadSliceCache(
                    f"The slice cache {folder} has format {index['format']!r:.20}; this version reads {FORMAT}: make it anew."
                )
            self._side = int(index["side"])
            self._shards = [(str(s["file"]), int(s["slices"]), str(s["sha256"])) for s in index["shards"]]
            self._tables_checksum = str(index["tables"])
            self._request = str(index["request"])
            self._record: JSON = dict(index["record"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadSliceCache(f"{INDEX} of the slice cache {folder} is damaged: make the cache anew.") from error
        self._tables = SliceTables.load(self.folder)
        if self._tables.checksum() != self._tables_checksum:
            raise BadSliceCache(f"The tables of the slice cache {folder} are not those written: make the cache anew.")
        self._stops = np.cumsum([slices for _, slices, _ in self._shards], dtype=np.int64)
        if self._side < 1 or len(self._tables) != (self._stops[-1] if len(self._stops) else 0):
            raise BadSliceCache(f"{INDEX} of the slice cache {folder} does not fit its tables: make the cache anew.")
        self._maps = [self._open_shard(file, slices) for file, slices, _ in self._shards]

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def side(self) -> int:
        """Rows and columns of every slice."""
        return self._side

    @property
    def patients(self) -> NDArray[np.int32]:
        """(n,) number of each slice's patient, from 0."""
        return self._tables.patients

    @property
    def series(self) -> NDArray[np.int32]:
        """(n,) place of each slice's series in `series_names`."""
        return self._tables.series

    @property
    def series_names(self) -> NDArray[np.str_]:
        """(s,) names that the sources gave."""
        return self._tables.series_names

    @property
    def positions(self) -> NDArray[np.int32]:
        """(n,) of each slice in its series, 0-based from inferior."""
        return self._tables.positions

    @property
    def labels(self) -> NDArray[np.str_]:
        """(n,) class of each slice, empty where unknown."""
        names = np.append(self._tables.label_names, "")  # the last one is that of -1
        return names[self._tables.labels]

    @property
    def pixel_mm(self) -> NDArray[np.float32]:
        """(n,) distance between the columns, mm; 0 where unknown."""
        return self._tables.pixel_mm

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(m, 4) all boxes, slice by slice, pixels: row_start, column_start, row_stop, column_stop."""
        return self._tables.boxes

    @property
    def n_boxes(self) -> NDArray[np.int64]:
        """(n,) boxes of each slice."""
        return np.diff(self._tables.box_starts)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(n,) whether a slice has a lesion box."""
        return self.n_boxes > 0

    @property
    def digest(self) -> str:
        """sha256 that side, pixels and tables decide, and nothing else."""
        return cache_digest(self._side, [checksum for _, _, checksum in self._shards], self._tables_checksum)

    @property
    def record(self) -> JSON:
        """The sources and their counts, JSON-able."""
        return self._record

    @property
    def request(self) -> str:
        """What `write_cache` was asked for, in its caller's words."""
        return self._request

    def read(self, indices: NDArray[np.int64], out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
        """Copies slices; fastest where `indices` ascend.

        Args:
            indices: (n,) places in the cache.
            out: (n, side, side) to copy to, instead of a new array.

        Returns:
            (n, side, side) HU, in the order of `indices`.

        Raises:
            IndexError: There is no such slice.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) and not (indices.min() >= 0 and indices.max() < len(self)):
            raise IndexError(f"slices are numbered from 0 to {len(self) - 1}")
        if out is None:
            out = np.empty((len(indices), self._side, self._side), np.int16)
        shards = np.searchsorted(self._stops, indices, side="right")
        starts = indices - np.append(0, self._stops)[shards]
        for shard, within in zip(shards.tolist(), starts.tolist(), strict=True):
            self._read_ahead(shard, within)
        for place, (shard, within) in enumerate(zip(shards.tolist(), starts.tolist(), strict=True)):
            out[place] = self._maps[shard][within]
        return out

    def box_table(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Boxes of some slices.

        Returns:
            (n, K, 4) pixels, zeros where a slice has fewer than K; (n,) how many each has. K may be 0.
        """
        indices = np.asarray(indices, np.int64)
        starts = self._tables.box_starts[indices]
        counts = self._tables.box_starts[indices + 1] - starts
        table = np.zeros((len(indices), int(counts.max(initial=0)), 4), np.float32)
        for place in np.flatnonzero(counts):
            table[place, : counts[place]] = self._tables.boxes[starts[place] : starts[place] + counts[place]]
        return table, counts

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Reads everything and compares it with the checksums.

        Args:
            progress: Called with shards done and shards in all.

        Raises:
            BadSliceCache: A shard is not what was written.
        """
        for number, (file, _, expected) in enumerate(self._shards, 1):
            digest = hashlib.sha256()
            with (self.folder / file).open("rb") as shard:
                while chunk := shard.read(_CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != expected:
                raise BadSliceCache(f"{file} of the slice cache {self.folder} is not what was written: make it anew.")
            if progress is not None:
                progress(number, len(self._shards))

    def _open_shard(self, file: str, slices: int) -> "np.memmap[Any, np.dtype[np.int16]]":
        path, wanted = self.folder / Path(file).name, slices * self._side**2 * 2
        try:
            size = path.stat().st_size
            if size != wanted or slices < 1:
                raise BadSliceCache(
                    f"{file} of the slice cache {self.folder} has {size} bytes instead of {wanted}: make the cache anew."
                )
            return np.memmap(path, PIXEL, mode="r", shape=(slices, self._side, self._side))
        except OSError as error:
            raise BadSliceCache(
                f"{file} of the slice cache {self.folder} cannot be read ({error.strerror})."
            ) from error

    def _read_ahead(self, shard: int, within: int) -> None:
        """Has the disk begin with a slice, so that those of a batch come at once rather than page by page."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        size = self._side**2 * 2
        start = within * size // mmap.PAGESIZE * mmap.PAGESIZE
        mapped: mmap.mmap = self._maps[shard]._mmap  # type: ignore[attr-defined]
        mapped.madvise(mmap.MADV_WILLNEED, start, (within + 1) * size - start)


def _read_index(folder: Path) -> JSON:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSliceCache(f"{folder} is no slice cache: make one with `slicebank pretrain cache`.") from error
    except (OSError, ValueError) as error:
        raise BadSliceCache(f"{INDEX} of the slice cache {folder} is damaged: make the cache anew.") from error
    if not isinstance(index, dict):
        raise BadSliceCache(f"{INDEX} of the slice cache {folder} is damaged: make the cache anew.")
    return index
