"""Kept pixels: one stack as int16 HU in an HDF5 file, so that another encoder can embed it without the source files."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from slicebank_store.errors import BadPixels, SliceNotKept

FORMAT = 1

_LIMITS = np.iinfo(np.int16)


class RetainedWriter:
    """Writes slices as they come, in any order; the file counts only after `close`."""

    def __init__(self, path: Path, *, n_slices: int, rows: int, columns: int) -> None:
        """Opens the file.

        Args:
            path: file to write.
            n_slices: S, slices of the stack.
            rows: R of a slice, pixels.
            columns: C of a slice, pixels.
        """
        self._path = path
        self._rounded = False
        self._file = h5py.File(path, "w", locking=False)
        # One slice a chunk; lzf because it costs less time than decoding the slice did.
        self._hu = self._file.create_dataset(
            "hu", (n_slices, rows, columns), np.int16, chunks=(1, rows, columns), compression="lzf", shuffle=True
        )
        self._kept = np.zeros(n_slices, bool)

    def write(self, slice_index: int, hu: NDArray[Any]) -> None:
        """Takes one slice.

        Args:
            slice_index: 0-based, inferior to superior.
            hu: (R, C) HU; fractions are rounded to the nearest integer, values beyond int16 are clipped.

        Raises:
            BadPixels: the slice has another shape or lies outside the stack.
        """
        if hu.shape != self._hu.shape[1:] or not 0 <= slice_index < len(self._kept):
            msg = f"Slice {slice_index} of shape {hu.shape} does not fit a stack of shape {self._hu.shape}."
            raise BadPixels(msg)
        whole = np.clip(np.rint(hu), _LIMITS.min, _LIMITS.max).astype(np.int16)
        self._rounded = self._rounded or not np.array_equal(whole, hu)
        self._hu[slice_index] = whole
        self._kept[slice_index] = True

    def close(self) -> int:
        """Finishes the file, flushed to disk; slices that were not written count as not kept. Its size in bytes."""
        self._file.create_dataset("kept", data=self._kept)
        self._file.attrs.update({"slicebank_pixels": FORMAT, "unit": "HU", "rounded": self._rounded})
        self._file.close()
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def abandon(self) -> None:
        """Closes and removes the unfinished file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class RetainedReader:
    """Reads the slices of a file of kept pixels. Any thread may call it."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            BadPixels: it is not a file of kept pixels.
        """
        try:
            self._file = h5py.File(path, "r", locking=False)
            if self._file.attrs.get("slicebank_pixels") != FORMAT:
                self._file.close()
                msg = f"{path.name} is not a file of kept pixels: upload the series again."
                raise BadPixels(msg)
            self._hu = self._file["hu"]
            self._kept = self._file["kept"][...]
        except (OSError, KeyError) as error:
            msg = f"{path.name} cannot be read ({type(error).__name__}): upload the series again."
            raise BadPixels(msg) from error

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        slices, rows, columns = self._hu.shape
        return int(slices), int(rows), int(columns)

    @property
    def rounded(self) -> bool:
        """Whether some HU had fractions or were beyond int16."""
        return bool(self._file.attrs["rounded"])

    def slice(self, index: int) -> NDArray[np.int16]:
        """One slice, int16 HU (R, C).

        Raises:
            SliceNotKept: it could not be decoded when the pixels were kept.
        """
        if not 0 <= index < len(self._kept) or not self._kept[index]:
            msg = f"Slice {index} is not among the kept pixels: it could not be decoded."
            raise SliceNotKept(msg)
        pixels: NDArray[np.int16] = self._hu[index]
        return pixels

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
