"""An encoder on a CUDA device: while one batch is computed, the next is copied from pinned memory on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_models.inference import FrozenEncoder
from slicebank_worker.engine.device_rows import DeviceRows
from slicebank_worker.engine.memory import memory_short_named
from slicebank_worker.engine.parcels import Parcel, StoredSlice, joined_rows
from slicebank_worker.engine.shelf import Batch

_MS = 1e-3


class CudaEncoder:
    """Feeds one device from one thread. Results do not wait for each other: `depth` batches may be on their way."""

    depth = 2

    def __init__(self, encoder: FrozenEncoder) -> None:
        self._encoder = encoder
        self._device = encoder.device
        self._rows = DeviceRows(encoder.device)
        self._copying = torch.cuda.Stream(encoder.device)  # type: ignore[no-untyped-call]
        self._computing = torch.cuda.Stream(encoder.device)  # type: ignore[no-untyped-call]

    @property
    def numerics(self) -> dict[str, Any]:
        """What really runs."""
        return self._encoder.numerics

    def launch(self, parcels: Sequence[Parcel]) -> Callable[[], Batch]:
        """Starts copying and computing; the result waits for both."""
        with memory_short_named():
            return self._launch(parcels)

    def _launch(self, parcels: Sequence[Parcel]) -> Callable[[], Batch]:
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._copying):
            arrived = [(group, self._to_device(group)) for group in _alike(parcels)]
            copied = self._copying.record_event()
        with torch.cuda.stream(self._computing):
            self._computing.wait_event(copied)
            begun.record()
            made = [self._make_rows(group, values) for group, values in arrived]
            rows = made[0] if len(made) == 1 else torch.cat(made)
            features = self._encoder.features(rows)
            on_host = torch.empty(features.shape, dtype=torch.float32, pin_memory=True)
            on_host.copy_(features, non_blocking=True)
            ended.record()

        def finish() -> Batch:
            with memory_short_named():
                ended.synchronize()
            return Batch(on_host.numpy().copy(), begun.elapsed_time(ended) * _MS)

        return finish

    def _to_device(self, group: list[Parcel]) -> torch.Tensor:
        values = [_bits(item) for item in group]
        # A volume is large: one alone goes straight into pinned memory.
        joined = np.stack(values) if isinstance(group[0], StoredSlice) else joined_rows(values)
        pinned = torch.from_numpy(joined).pin_memory()
        moved = pinned.to(self._device, non_blocking=True)
        moved.record_stream(self._computing)  # its memory may not be given away before the batch is computed
        return moved

    def _make_rows(self, group: list[Parcel], values: torch.Tensor) -> torch.Tensor:
        slices = [item for item in group if isinstance(item, StoredSlice)]
        return self._rows.make(values, slices) if slices else values


def _alike(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Neighbours that can be stacked: slices of one matrix, type, windows and resize, or finished rows or volumes."""

    def kind(parcel: Parcel) -> tuple[object, ...]:
        if isinstance(parcel, StoredSlice):
            return (
                parcel.ct.stored.shape,
                parcel.ct.stored.dtype.itemsize,
                parcel.windows,
                parcel.size,
                parcel.interpolation,
            )
        return ()

    for _, group in groupby(parcels, kind):
        yield list(group)


def _bits(item: Parcel) -> NDArray[Any]:
    """Stored values as torch can hold them: 16 bits as int16, 8 bits as uint8."""
    if not isinstance(item, StoredSlice):
        return item
    stored = item.ct.stored
    return stored.view(np.int16 if stored.dtype.itemsize == 2 else np.uint8)
