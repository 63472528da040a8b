"""Rows of cached bags on the device that trains, in chunks of whole bags and in the precision of the products."""

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.inference import has_native_bfloat16
from slicebank_models.training.bag_cache import CohortCache
from slicebank_models.training.fused_abmil import Chunk
from slicebank_models.training.workspace import Workspace

# Rows a chunk: enough that the work between products costs little, few enough for the cache of a processor.
CPU_ROWS = 8192
CUDA_ROWS = 131_072
# Share of a GPU's free memory that a cohort may take; a larger one is sent batch by batch.
_RESIDENT_SHARE = 0.5
# bfloat16 keeps 8 bits: of hidden values 8 deviations from zero, steps of 1/32 of a deviation.
_FARTHEST = 8.0
_ROWS_AT_ONCE = 16_384  # while rows are rounded: 38 MB of 576 numbers

Wanted = Sequence[tuple[int, NDArray[np.int64] | None]]


class BagRows:
    """Rows by bag, on one device.

    Args:
        cache: Of the cohort.
        device: Where chunks shall be.

    Attributes:
        most: Rows of a chunk of several bags.
        offset: (d,) float32 that rows for products are less of: the mean row.
        product_dtype: Precision of the published head's products: bfloat16 where the device multiplies it itself and the
            rows lie near enough to zero, else float32.
        cache: Of the cohort.
        workspace: For the steps of every fold.
    """

    def __init__(self, cache: CohortCache, device: torch.device) -> None:
        self.device = device
        self.most = CUDA_ROWS if device.type == "cuda" else CPU_ROWS
        self.offset = torch.from_numpy(cache.mean).to(device)
        near = cache.distance <= _FARTHEST
        self.product_dtype = torch.bfloat16 if near and has_native_bfloat16(device) else torch.float32
        self.workspace = Workspace(device)
        self.cache = cache
        self._stored = self._placed(torch.from_numpy(cache.rows))
        self._products: Tensor | None = None

    def length(self, index: int) -> int:
        """Number of rows of a bag."""
        return self.cache.lengths[index]

    def prepare_products(self) -> None:
        """Rounds every row once, less `offset`, to `product_dtype`, so that chunks are gathered at half the size."""
        if self.product_dtype is torch.float32 or self._products is not None:
            return
        with tempfile.TemporaryFile(dir=self.cache.folder) as file:
            stored = torch.from_numpy(self.cache.rows)
            for part in torch.split(stored, _ROWS_AT_ONCE):
                rounded = (part - self.offset.cpu()).to(self.product_dtype)
                file.write(rounded.view(torch.int16).numpy().data)
            file.flush()
            bits = np.memmap(file, dtype=np.int16, mode="c", shape=self.cache.rows.shape)
        self._products = self._placed(torch.from_numpy(bits).view(self.product_dtype))

    def stored_chunks(self, bags: Wanted) -> Iterator[Chunk]:
        """Lays bags end to end, float32 rows as they are stored.

        Args:
            bags: Index of each bag, and which of its rows; None for all.
        """
        for part in self._parts(bags):
            places, lengths = self._places(part, self._stored.device)
            yield _chunk(self._stored.index_select(0, places).to(self.device), lengths)

    def product_chunks(self, bags: Wanted, *, kept: bool) -> Iterator[Chunk]:
        """Lays bags end to end, rows less `offset` in `product_dtype`, in buffers of `workspace`.

        Args:
            bags: Index of each bag, and which of its rows; None for all.
            kept: Whether all chunks are needed at once; otherwise each is overwritten by the next.
        """
        rows = self._stored if self._products is None else self._products
        parts = list(self._parts(bags))
        sizes = [sum(self._n_rows(one) for one in part) for part in parts]
        room = self.workspace.take("rows", sum(sizes) if kept else max(sizes), rows.shape[1], self.product_dtype)
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            places, lengths = self._places(part, rows.device)
            target = room[start : start + size]
            start += size if kept else 0
            if rows.device == self.device and rows.dtype == target.dtype:
                torch.index_select(rows, 0, places, out=target)
            else:
                target.copy_(rows.index_select(0, places))
            if self._products is None:
                target.sub_(self.offset)
            yield _chunk(target, lengths)

    def _placed(self, rows: Tensor) -> Tensor:
        if self.device.type == "cuda" and rows.nbytes <= torch.cuda.mem_get_info(self.device)[0] * _RESIDENT_SHARE:
            return rows.to(self.device)
        return rows

    def _n_rows(self, wanted: tuple[int, NDArray[np.int64] | None]) -> int:
        index, rows = wanted
        return self.length(index) if rows is None else len(rows)

    def _parts(self, bags: Wanted) -> Iterator[Wanted]:
        """Groups whole bags up to `most` rows; a longer bag is a chunk of its own."""
        part: list[tuple[int, NDArray[np.int64] | None]] = []
        rows = 0
        for one in bags:
            if part and rows + self._n_rows(one) > self.most:
                yield part
                part, rows = [], 0
            part.append(one)
            rows += self._n_rows(one)
        if part:
            yield part

    def _places(self, part: Wanted, device: torch.device) -> tuple[Tensor, list[int]]:
        """Returns where the rows stand in the cohort, and how many each bag has."""
        starts = self.cache.starts
        where = [starts[index] + (np.arange(self.length(index)) if rows is None else rows) for index, rows in part]
        return torch.from_numpy(np.concatenate(where)).to(device), [len(rows) for rows in where]


def _chunk(rows: Tensor, lengths: list[int]) -> Chunk:
    return Chunk(rows, lengths, lengths[0] if len(set(lengths)) == 1 else 0)
