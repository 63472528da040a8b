"""A cohort's rows end to end in one memory-mapped file: every bag is read once, checked, and never copied whole again."""

import hashlib
import math
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import DimensionMismatch
from slicebank_models.training.bags import BagSource, ExpectingBags

_AHEAD = 4  # bags read but not yet written: bounds what waits in memory
_EXPECTED = 4  # bags that a disk is told of before they are read
_STRIDE = 8  # one row in so many tells where the rows lie
_ROW = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class CohortCache:
    """The rows of a cohort.

    Attributes:
        rows: (T, d) float32, a private mapping of a file without a name: pages come and go as memory allows. It can be
            written to, because torch asks for that; nothing is.
        starts: Bag index -> its first row.
        lengths: Bag index -> its number of rows, at least 1.
        mean: (d,) float32, mean of every eighth row.
        distance: Length of `mean` over the root of the summed variances of the columns of these rows: how far they lie from
            zero for how much they differ. Infinite where they do not differ.
        folder: Where the file is; the system's folder for temporary files where None.
    """

    rows: NDArray[np.float32]
    starts: dict[int, int]
    lengths: dict[int, int]
    mean: NDArray[np.float32]
    distance: float
    folder: Path | None

    def features(self, index: int) -> NDArray[np.float32]:
        """Returns the (N, d) rows of one bag, as pages of the file."""
        start = self.starts[index]
        return self.rows[start : start + self.lengths[index]]

    def digest(self, index: int) -> str:
        """Returns the SHA-256 of a bag's rows as float32, hex."""
        return hashlib.sha256(np.asarray(self.features(index)).data.cast("B")).hexdigest()


@contextmanager
def open_cohort(
    source: BagSource, indices: Sequence[int], dim: int, folder: Path | None = None
) -> Iterator[CohortCache]:
    """Reads every bag once, in the order given, into a file that is gone when the block ends.

    While one bag is read, the one before it is checked and written.

    Args:
        source: Asked once a bag, in the order of `indices`; see `ExpectingBags`.
        indices: Bags of the cohort; each is cached once.
        dim: Length that every row must have.
        folder: For the file; the system's folder for temporary files where none is given.

    Raises:
        DimensionMismatch: No rows, rows of another length, or values that are no finite numbers.
        OSError: The folder has no room for the cohort.
    """
    wanted = list(dict.fromkeys(indices))
    starts: dict[int, int] = {}
    lengths: dict[int, int] = {}
    sums, n_rows, n_summed = np.zeros((2, dim)), 0, 0
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file, ThreadPoolExecutor(1) as writer:
        under_way: deque[Future[NDArray[np.float64]]] = deque()
        for number, index in enumerate(wanted, start=1):
            if isinstance(source, ExpectingBags):
                for later in wanted[_EXPECTED * (number > 1) + number - 1 : number + _EXPECTED]:
                    source.expect(later)
            rows = _checked(source.features(index), index, dim)
            starts[index], lengths[index] = n_rows, len(rows)
            under_way.append(writer.submit(_write, file.fileno(), index, rows))
            n_rows += len(rows)
            n_summed += len(rows[::_STRIDE])
            while under_way and (len(under_way) >= _AHEAD or number == len(wanted)):
                sums += under_way.popleft().result()
        mapped = np.memmap(file, dtype=_ROW, mode="c", shape=(n_rows, dim))
        mean, squares = sums / max(1, n_summed)
        spread = float((squares - mean**2).clip(min=0).sum())
        distance = float(np.linalg.norm(mean)) / math.sqrt(spread) if 0 < spread < math.inf else math.inf
        yield CohortCache(mapped, starts, lengths, mean.astype(np.float32), distance, folder)


def _checked(bag: NDArray[np.float32], index: int, dim: int) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(bag, dtype=_ROW)
    if rows.ndim != 2 or rows.shape[1] != dim or len(rows) == 0:
        raise DimensionMismatch(f"Bag {index} has shape {rows.shape}; training needs (N, {dim}), N at least 1.")
    return rows


def _write(descriptor: int, index: int, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Appends a bag to the file; returns (2, d) the sums of each column and of its squares over every eighth row."""
    if not np.isfinite(rows).all():
        raise DimensionMismatch(f"Bag {index} holds values that are no finite numbers; embed its series again.")
    some = rows[::_STRIDE]
    # float32 sums over the rows of one bag are exact enough; those of rows beyond 1e19 may be infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.stack([some.sum(axis=0), np.einsum("ij,ij->j", some, some)]).astype(np.float64)
    left = rows.data.cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
    return sums
