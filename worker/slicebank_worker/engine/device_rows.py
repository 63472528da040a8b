"""Rows of decoded slices, made on the encoder's device: a table turns stored values into grey levels, two matrices resize them.

Grey levels are those of the CPU exactly: the table is the CPU's. Resized rows are within one grey level of it: the matrices hold Pillow's
coefficients, and both passes are rounded to whole levels as Pillow rounds them, but sums are in float32 and not in integers.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_imaging.resize import Interpolation, resize_plan
from slicebank_worker.engine.parcels import StoredSlice

# Slopes and intercepts differ between series, seldom between slices; a table has 64 KB a window.
_TABLES = 64
# Pillow keeps coefficients for 8-bit images as integers of this many fractional bits.
_PILLOW_BITS = 22
# How far each filter reaches, in pixels of the coarser picture, and the slope of Pillow's cubic at distance 1.
_REACH = {Interpolation.BILINEAR: 1.0, Interpolation.BICUBIC: 2.0}
_KEYS = -0.5


class DeviceRows:
    """Makes rows on one device; keeps the tables and matrices that it used last there."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[tuple[object, ...], torch.Tensor] = OrderedDict()

    def make(self, stored: torch.Tensor, slices: Sequence[StoredSlice]) -> torch.Tensor:
        """Rows of slices of one matrix, type and size.

        Args:
            stored: (B, R, C) on the device: the bits of the stored values as int16, or uint8.
            slices: the B slices that they are.

        Returns:
            (B * W, S, S) uint8, row = slice * W + window.
        """
        windows, size = slices[0].windows, slices[0].size
        index = stored.to(torch.int32) & (0xFFFF if stored.dtype == torch.int16 else 0xFF)
        gray = torch.empty((len(slices), len(windows), *stored.shape[1:]), dtype=torch.uint8, device=self._device)
        for start, stop in _runs(slices):
            for window, table in enumerate(self._tables(slices[start])):
                pixels = index[start:stop]
                gray[start:stop, window] = table.index_select(0, pixels.reshape(-1)).view(pixels.shape)
        return self._resize(gray.flatten(0, 1), size, slices[0].interpolation)

    def _resize(self, gray: torch.Tensor, size: int, interpolation: Interpolation) -> torch.Tensor:
        """(N, R, C) uint8 to (N, size, size): shorter side to size, then the centre."""
        rows, columns = gray.shape[1:]
        down, across = (
            self._matrix(part, side, interpolation)
            for part, side in zip(resize_plan(rows, columns, size), (rows, columns), strict=True)
        )
        narrow = _whole_levels(gray.to(torch.float32) @ across.T)  # Pillow goes along the rows first
        return _whole_levels(down @ narrow).to(torch.uint8)

    def _tables(self, item: StoredSlice) -> list[torch.Tensor]:
        return [self._keep(("table", _table_key(item), window), item.ct.gray_table(window)) for window in item.windows]

    def _matrix(self, plan: tuple[int, int, int], side: int, interpolation: Interpolation) -> torch.Tensor:
        return self._keep(("matrix", side, plan, interpolation), resize_matrix(side, *plan, interpolation))

    def _keep(self, key: tuple[object, ...], values: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        if key not in self._kept:
            self._kept[key] = torch.from_numpy(values.copy()).to(self._device)
            while len(self._kept) > _TABLES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@lru_cache(maxsize=_TABLES)
def resize_matrix(
    side: int, resized: int, first: int, size: int, interpolation: Interpolation = Interpolation.BILINEAR
) -> NDArray[np.float32]:
    """Pillow's antialiased resize along one axis, as a matrix.

    Args:
        side: pixels before.
        resized: pixels after.
        first: first pixel kept.
        size: pixels kept.
        interpolation: filter, two pixels wide (bilinear) or four (bicubic) where nothing shrinks.

    Returns:
        (size, side) float32, rows sum to 1 within Pillow's own rounding.
    """
    matrix = np.zeros((size, side))
    if resized == side:  # Pillow leaves such an axis alone
        matrix[np.arange(size), np.arange(first, first + size)] = 1.0
        return matrix.astype(np.float32)
    scale = side / resized
    widening = max(scale, 1.0)
    support = _REACH[interpolation] * widening
    for at in range(size):
        centre = (at + first + 0.5) * scale
        low, high = max(0, math.floor(centre - support + 0.5)), min(side, math.floor(centre + support + 0.5))
        weights = _filter(np.abs(np.arange(low, high) + 0.5 - centre) / widening, interpolation)
        scaled = weights / weights.sum() * 2**_PILLOW_BITS
        matrix[at, low:high] = np.trunc(scaled + np.copysign(0.5, scaled)) / 2**_PILLOW_BITS
    return matrix.astype(np.float32)


def _filter(distance: NDArray[np.float64], interpolation: Interpolation) -> NDArray[np.float64]:
    """Weight of a pixel by its distance, in pixels of the coarser picture."""
    if interpolation is Interpolation.BILINEAR:
        return np.maximum(0.0, 1.0 - distance)
    # Keys' cubic convolution: 1 at 0, 0 at 1 and 2, its slope given by _KEYS.
    near = ((_KEYS + 2) * distance - (_KEYS + 3)) * distance**2 + 1
    far = _KEYS * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


def _whole_levels(levels: torch.Tensor) -> torch.Tensor:
    return levels.add_(0.5).floor_().clamp_(0.0, 255.0)


def _table_key(item: StoredSlice) -> tuple[object, ...]:
    return item.ct.slope, item.ct.intercept, item.ct.padding, item.ct.stored.dtype.str


def _runs(slices: Sequence[StoredSlice]) -> list[tuple[int, int]]:
    """Ranges of neighbours that share their tables: slices of one series, mostly."""
    starts = [at for at in range(len(slices)) if at == 0 or _table_key(slices[at]) != _table_key(slices[at - 1])]
    return list(zip(starts, [*starts[1:], len(slices)], strict=True))
