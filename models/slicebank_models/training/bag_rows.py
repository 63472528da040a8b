"""Rows of cached bags on the device that trains, in chunks of whole bags and in the precision of the products."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.inference import has_native_bfloat16
from slicebank_models.training.bag_cache import CohortCache
from slicebank_models.training.fused_abmil import Chunk

# Rows a chunk: enough for products at full speed, few enough that a chunk's intermediates stay in a processor's cache.
CPU_ROWS = 4096
CUDA_ROWS = 131_072
# Share of a GPU's free memory that a cohort may take; a larger one is sent batch by batch.
_RESIDENT_SHARE = 0.5


# bfloat16 keeps 8 bits: of hidden values 8 deviations from zero, steps of 1/32 of a deviation.
_FARTHEST = 8.0


class BagRows:
    """Rows by bag, on one device.

    Args:
        cache: Of the cohort.
        device: Where chunks shall be.

    Attributes:
        most: Rows of a chunk of several bags.
        offset: (d,) float32 that chunks in `product_dtype` are less of: the mean row.
        product_dtype: Precision of the published head's products: bfloat16 where the device multiplies it itself and the
            rows lie near enough to zero, else float32.
    """

    def __init__(self, cache: CohortCache, device: torch.device) -> None:
        self.device = device
        self.most = CUDA_ROWS if device.type == "cuda" else CPU_ROWS
        self._cache = cache
        near = cache.distance <= _FARTHEST
        self.product_dtype = torch.bfloat16 if near and has_native_bfloat16(device) else torch.float32
        self._rows = torch.from_numpy(cache.rows)
        self.offset = torch.from_numpy(cache.mean).to(device)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._rows.nbytes <= free * _RESIDENT_SHARE:
                self._rows = self._rows.to(device)

    def length(self, index: int) -> int:
        """Number of rows of a bag."""
        return self._cache.lengths[index]

    def chunks(
        self, bags: Sequence[tuple[int, NDArray[np.int64] | None]], dtype: torch.dtype | None = None
    ) -> Iterator[Chunk]:
        """Lays bags end to end.

        Args:
            bags: Index of each bag, and which of its rows; None for all.
            dtype: Of the rows, less `offset`; None for float32 rows as they are stored.
        """
        for part in self._parts(bags):
            lengths = [self.length(index) if rows is None else len(rows) for index, rows in part]
            rows = self._gather(part)
            if dtype is not None:
                rows = rows.sub_(self.offset).to(dtype)
            yield Chunk(rows, lengths, lengths[0] if len(set(lengths)) == 1 else 0)

    def _parts(
        self, bags: Sequence[tuple[int, NDArray[np.int64] | None]]
    ) -> Iterator[list[tuple[int, NDArray[np.int64] | None]]]:
        """Groups whole bags up to `most` rows; a longer bag is a chunk of its own."""
        part: list[tuple[int, NDArray[np.int64] | None]] = []
        rows = 0
        for index, chosen in bags:
            length = self.length(index) if chosen is None else len(chosen)
            if part and rows + length > self.most:
                yield part
                part, rows = [], 0
            part.append((index, chosen))
            rows += length
        if part:
            yield part

    def _gather(self, part: Sequence[tuple[int, NDArray[np.int64] | None]]) -> Tensor:
        """Returns (T, d) float32 rows on the device, a copy."""
        where = np.concatenate(
            [
                self._cache.starts[index] + (np.arange(self.length(index)) if rows is None else rows)
                for index, rows in part
            ]
        )
        places = torch.from_numpy(where).to(self._rows.device)
        return self._rows.index_select(0, places).to(self.device)
