"""What a cache knows of its slices, beside their pixels: one array a column, kept in one file. No torch here."""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import BadSliceCache

FILE = "slices.npz"


@dataclass(frozen=True, slots=True, eq=False)
class SliceTables:
    """One entry a slice, in the order of the pixels.

    Attributes:
        patients: (n,) int32, the patient's number in the cache, from 0; names are not kept.
        series: (n,) int32, places in `series_names`.
        positions: (n,) int32, of the slice in its series, 0-based from inferior.
        labels: (n,) int32, places in `label_names`; -1 where unknown.
        pixel_mm: (n,) float32, distance between the columns of the cache's slice, mm; 0 where unknown.
        box_starts: (n + 1,) int64; slice i has the boxes from box_starts[i] to before box_starts[i + 1].
        boxes: (m, 4) float32, pixels of the cache's slice: row_start, column_start, row_stop, column_stop.
        series_names: (s,) str.
        label_names: (l,) str.
    """

    patients: NDArray[np.int32]
    series: NDArray[np.int32]
    positions: NDArray[np.int32]
    labels: NDArray[np.int32]
    pixel_mm: NDArray[np.float32]
    box_starts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    series_names: NDArray[np.str_]
    label_names: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.patients)

    def checksum(self) -> str:
        """sha256 over the columns: name, type, shape and bytes."""
        digest = hashlib.sha256()
        for column in fields(self):
            # Strings are hashed as UTF-8, whose bytes depend on no array's item size.
            values: NDArray[np.generic] = getattr(self, column.name)
            text = values.dtype.kind == "U"
            data = "\0".join(values.tolist()).encode() if text else np.ascontiguousarray(values).tobytes()
            digest.update(f"{column.name} {'U' if text else values.dtype.str} {values.shape} {len(data)}\n".encode())
            digest.update(data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the file."""
        with (folder / FILE).open("wb") as file:
            np.savez(file, **{column.name: getattr(self, column.name) for column in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> "SliceTables":
        """Reads the file, runs no code of it, and sees that its columns fit together.

        Raises:
            BadSliceCache: It is missing, damaged, or its columns contradict each other.
        """
        try:
            with (folder / FILE).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                tables = cls(**{column.name: file[column.name] for column in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise BadSliceCache(
                f"{FILE} of the slice cache {folder} cannot be read ({type(error).__name__}): make the cache anew."
            ) from error
        if not tables._consistent():
            raise BadSliceCache(f"The columns of {FILE} of the slice cache {folder} do not fit: make the cache anew.")
        return tables

    def _consistent(self) -> bool:
        n = len(self.patients)
        return (
            all(
                column.dtype == dtype and column.shape == (n,)
                for column, dtype in (
                    (self.patients, np.int32),
                    (self.series, np.int32),
                    (self.positions, np.int32),
                    (self.labels, np.int32),
                    (self.pixel_mm, np.float32),
                )
            )
            and self.boxes.dtype == np.float32
            and self.boxes.ndim == 2
            and self.boxes.shape[1] == 4
            and self.box_starts.dtype == np.int64
            and self.box_starts.shape == (n + 1,)
            and self.box_starts[0] == 0
            and self.box_starts[-1] == len(self.boxes)
            and bool((np.diff(self.box_starts) >= 0).all())
            and self.series_names.dtype.kind == self.label_names.dtype.kind == "U"
            and (n == 0 or (self.series.min() >= 0 and self.series.max() < len(self.series_names)))
            and (n == 0 or (self.labels.min() >= -1 and self.labels.max() < len(self.label_names)))
        )
