"""Writing bags. Rows are gathered in memory (550 rows of 576 numbers are 1.3 MB) and written at once, durably."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags.datasets import sync, write_attributes, write_rows, write_slices
from slicebank_store.bags.format import MICROMETRES_PER_MM, SCAN_INDEX, BagHeader, SkippedSlice
from slicebank_store.errors import BadBag
from slicebank_store.types import JSON, BagLevel


@dataclass(frozen=True, slots=True)
class BagFile:
    """A finished bag file.

    Attributes:
        sha256: of the file, hex.
        n_rows: N.
        n_slices: S, slices in the bag.
        skipped: slices left out.
    """

    path: Path
    sha256: str
    size_bytes: int
    n_rows: int
    n_slices: int
    skipped: tuple[SkippedSlice, ...]


class BagWriter:
    """Gathers the rows of one bag, in any order, and writes the file when closed."""

    def __init__(self, path: Path, header: BagHeader, *, n_slices: int, n_windows: int, dim: int) -> None:
        """Makes room for the rows.

        Args:
            path: file to write; not .h5, so that no reader of a folder opens it half-written.
            header: what the bag says about itself.
            n_slices: slices of the stack.
            n_windows: W; 1 for a scan-level bag.
            dim: D.

        Raises:
            BadBag: the sizes do not fit the header, or the path ends in .h5.
        """
        if path.suffix == ".h5":
            msg = f"Write bags to a temporary name that does not end in .h5, not to {path.name}."
            raise BadBag(msg)
        if n_slices != len(header.slices) or n_slices < 1 or n_windows < 1 or dim < 1:
            msg = f"{n_slices} slices of {n_windows} rows of {dim} do not fit a header of {len(header.slices)} slices."
            raise BadBag(msg)
        if header.field_of_view_mm <= 0:
            msg = "The field of view must be greater than 0 mm: foreign readers refuse the bag otherwise."
            raise BadBag(msg)
        self._path = path
        self._header = header
        self._windows = n_windows if header.level is BagLevel.SLICE else 1
        self._rows = np.zeros((n_slices * self._windows if header.level is BagLevel.SLICE else 1, dim), np.float32)
        self._filled = np.zeros(len(self._rows), bool)
        self._thumbnails: dict[int, bytes] = {}

    def write_rows(self, row_start: int, rows: NDArray[np.float32]) -> None:
        """Takes consecutive rows.

        Args:
            row_start: first row, slice * W + window; 0 in a scan-level bag.
            rows: (k, D) float32.

        Raises:
            BadBag: the rows lie outside the bag, have another length, come twice, or hold NaN or an infinity.
        """
        end = row_start + len(rows)
        if rows.ndim != 2 or row_start < 0 or end > len(self._rows) or rows.shape[1] != self._rows.shape[1]:
            msg = f"Rows {row_start} to {end} of shape {rows.shape} do not fit a bag of shape {self._rows.shape}."
            raise BadBag(msg)
        if self._filled[row_start:end].any():
            msg = f"Rows {row_start} to {end} were written before."
            raise BadBag(msg)
        if not np.isfinite(rows).all():
            msg = f"Rows {row_start} to {end} hold NaN or an infinity: try precision fp32."
            raise BadBag(msg)
        self._rows[row_start:end] = rows
        self._filled[row_start:end] = True

    def append_slice(self, slice_index: int, rows: NDArray[np.float32], thumbnail: bytes | None = None) -> None:
        """Takes one slice.

        Args:
            slice_index: 0-based position in the stack.
            rows: (W, D) float32, in window order.
            thumbnail: JPEG bytes.

        Raises:
            BadBag: as `write_rows`, or not all windows are there.
        """
        if len(rows) != self._windows:
            msg = f"Slice {slice_index} has {len(rows)} rows where the recipe has {self._windows} windows."
            raise BadBag(msg)
        self.write_rows(slice_index * self._windows, rows)
        if thumbnail is not None:
            self.set_thumbnail(slice_index, thumbnail)

    def set_thumbnail(self, slice_index: int, jpeg: bytes) -> None:
        """Takes the picture of one slice."""
        self._thumbnails[slice_index] = jpeg

    def close(self, numerics: JSON, skipped: Sequence[SkippedSlice] = (), *, rescale: JSON | None = None) -> BagFile:
        """Writes the file, flushed to disk.

        Args:
            numerics: what really ran: device, dtype.
            skipped: slices that could not be decoded; they are left out.
            rescale: replaces the header's, with what decoding found out.

        Raises:
            BadBag: a slice is neither written nor skipped, or written and skipped, or none is left.
        """
        header = self._header if rescale is None else replace(self._header, rescale=rescale)
        dropped = {item.slice_index for item in skipped}
        kept = np.array([index for index in range(len(header.slices)) if index not in dropped], np.int32)
        if not len(kept):
            msg = "No slice is left for the bag."
            raise BadBag(msg)
        if header.level is BagLevel.SLICE:
            self._check_filled(dropped)
            select = (kept[:, None] * self._windows + np.arange(self._windows)).reshape(-1)
            slice_index = np.repeat(kept, self._windows)
            window_index = np.tile(np.arange(self._windows, dtype=np.int8), len(kept))
            z_mm = np.array([header.slices[index].z_mm for index in slice_index])
        else:
            self._check_filled(set())
            select = np.zeros(1, np.intp)
            slice_index = np.full(1, SCAN_INDEX, np.int32)
            window_index = np.full(1, SCAN_INDEX, np.int8)
            ends = [header.slices[index].z_mm for index in kept]
            z_mm = np.array([(min(ends) + max(ends)) / 2])
        with h5py.File(self._path, "w", locking=False) as file:
            coords = np.zeros((len(select), 2), np.float32)
            coords[:, 0] = z_mm * MICROMETRES_PER_MM
            write_rows(file, header, self._rows[select], coords)
            file.create_dataset("slice_index", data=slice_index.astype(np.int32))
            file.create_dataset("window_index", data=window_index.astype(np.int8))
            write_slices(file, header, kept)
            if self._thumbnails:
                pictures = file.create_dataset("thumbnails", (len(kept),), h5py.vlen_dtype(np.uint8))
                for at, index in enumerate(kept):
                    pictures[at] = np.frombuffer(self._thumbnails.get(int(index), b""), np.uint8)
            write_attributes(file, header, numerics, skipped)
        sha256, size = sync(self._path)
        return BagFile(self._path, sha256, size, len(select), len(kept), tuple(skipped))

    def _check_filled(self, dropped: set[int]) -> None:
        by_slice = self._filled.reshape(-1, self._windows)
        for index, filled in enumerate(by_slice):
            if filled.all() == (index in dropped) or (filled.any() and index in dropped):
                msg = f"Slice {index} must be either written whole or skipped."
                raise BadBag(msg)
