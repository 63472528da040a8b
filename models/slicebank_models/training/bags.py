"""Where training gets its rows from, and how they become batches."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.errors import DimensionMismatch


class BagSource(Protocol):
    """Stored bags by index; the implementation chooses windows and reads files."""

    def features(self, index: int) -> NDArray[np.float32]:
        """Returns the (N, d) rows of one bag, N at least 1."""
        ...


class CachedBags:
    """Keeps bags in memory up to a limit, so that epochs after the first read nothing.

    Args:
        source: Asked once per bag while there is room, every time after that.
        dim: Length that every row must have.
        limit_bytes: Of rows kept.
    """

    def __init__(self, source: BagSource, dim: int, limit_bytes: int = 2 << 30) -> None:
        self._source = source
        self._dim = dim
        self._room = limit_bytes
        self._kept: dict[int, NDArray[np.float32]] = {}

    def features(self, index: int) -> NDArray[np.float32]:
        """Returns the (N, d) rows of one bag.

        Raises:
            DimensionMismatch: No rows, rows of another length, or values that are no finite numbers.
        """
        if (kept := self._kept.get(index)) is not None:
            return kept
        rows = np.ascontiguousarray(self._source.features(index), dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self._dim or len(rows) == 0:
            raise DimensionMismatch(
                f"Bag {index} has shape {rows.shape}; training needs (N, {self._dim}), N at least 1."
            )
        if not np.isfinite(rows).all():
            raise DimensionMismatch(f"Bag {index} holds values that are no finite numbers; embed its series again.")
        if rows.nbytes <= self._room:
            self._room -= rows.nbytes
            self._kept[index] = rows
        return rows


def pack(bags: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Lays bags end to end: (T, d) float32 rows and (B,) int64 lengths."""
    return torch.from_numpy(np.concatenate(bags)), torch.tensor([len(bag) for bag in bags])


def sample_rows(rows: NDArray[np.float32], max_rows: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Returns the bag, or `max_rows` of its rows drawn without replacement, in their order."""
    if len(rows) <= max_rows:
        return rows
    return rows[np.sort(generator.choice(len(rows), max_rows, replace=False))]
