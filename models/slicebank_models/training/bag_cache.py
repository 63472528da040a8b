"""A cohort's rows end to end in one memory-mapped file: every bag is read once, checked, and never copied whole again."""

import hashlib
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import DimensionMismatch
from slicebank_models.training.bags import BagSource

_AHEAD = 4  # bags read but not yet written: bounds what waits in memory
_ROW = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class CohortCache:
    """The rows of a cohort.

    Attributes:
        rows: (T, d) float32, a private mapping of a file without a name: pages come and go as memory allows. It can be
            written to, because torch asks for that; nothing is.
        starts: Bag index -> its first row.
        lengths: Bag index -> its number of rows, at least 1.
        digests: Bag index -> SHA-256 of its rows as float32, hex.
        mean: (d,) float32, mean of all rows.
        distance: Length of `mean` over the root of the summed variances of the columns: how far the rows lie from zero for
            how much they differ. Infinite where they do not differ.
        folder: Where the file is; the system's folder for temporary files where None.
    """

    rows: NDArray[np.float32]
    starts: dict[int, int]
    lengths: dict[int, int]
    digests: dict[int, str]
    mean: NDArray[np.float32]
    distance: float
    folder: Path | None

    def features(self, index: int) -> NDArray[np.float32]:
        """Returns the (N, d) rows of one bag, as pages of the file."""
        start = self.starts[index]
        return self.rows[start : start + self.lengths[index]]


@contextmanager
def open_cohort(
    source: BagSource, indices: Sequence[int], dim: int, folder: Path | None = None
) -> Iterator[CohortCache]:
    """Reads every bag once, in the order given, into a file that is gone when the block ends.

    While one bag is read, the one before it is checked, hashed and written.

    Args:
        source: Asked once a bag.
        indices: Bags of the cohort; each is cached once.
        dim: Length that every row must have.
        folder: For the file; the system's folder for temporary files where none is given.

    Raises:
        DimensionMismatch: No rows, rows of another length, or values that are no finite numbers.
        OSError: The folder has no room for the cohort.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file, ThreadPoolExecutor(1) as writer:
        wanted = list(dict.fromkeys(indices))
        starts: dict[int, int] = {}
        lengths: dict[int, int] = {}
        digests: dict[int, str] = {}
        sums, n_rows = np.zeros((2, dim)), 0
        waiting: list[Future[_Written]] = []
        done = 0
        for index in (*wanted, *[None] * _AHEAD):
            if index is not None:
                bag = source.features(index)
                waiting.append(writer.submit(_write, file.fileno(), index, bag, dim))
            if done < len(wanted) and (index is None or len(waiting) - done >= _AHEAD):
                place, written = wanted[done], waiting[done].result()
                starts[place], lengths[place], digests[place] = n_rows, written.n_rows, written.digest
                n_rows += written.n_rows
                sums += written.sums
                done += 1
        mapped = np.memmap(file, dtype=_ROW, mode="c", shape=(n_rows, dim))
        mean, squares = sums / max(1, n_rows)
        spread = float((squares - mean**2).clip(min=0).sum())
        distance = float(np.linalg.norm(mean)) / math.sqrt(spread) if 0 < spread < math.inf else math.inf
        yield CohortCache(mapped, starts, lengths, digests, mean.astype(np.float32), distance, folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """One bag on its way: rows, SHA-256, and (2, d) the sums of each column and of its squares."""

    n_rows: int
    digest: str
    sums: NDArray[np.float64]


def _write(descriptor: int, index: int, bag: NDArray[np.float32], dim: int) -> _Written:
    """Checks a bag and appends it to the file."""
    rows = np.ascontiguousarray(bag, dtype=_ROW)
    if rows.ndim != 2 or rows.shape[1] != dim or len(rows) == 0:
        raise DimensionMismatch(f"Bag {index} has shape {rows.shape}; training needs (N, {dim}), N at least 1.")
    if not np.isfinite(rows).all():
        raise DimensionMismatch(f"Bag {index} holds values that are no finite numbers; embed its series again.")
    # float32 sums over the rows of one bag are exact enough; those of rows beyond 1e19 may be infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.stack([rows.sum(axis=0), np.einsum("ij,ij->j", rows, rows)]).astype(np.float64)
    data = rows.data.cast("B")
    left = data
    while left:
        left = left[os.write(descriptor, left) :]
    return _Written(len(rows), hashlib.sha256(data).hexdigest(), sums)
