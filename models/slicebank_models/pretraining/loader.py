"""Batches of slices from a cache, read ahead by threads and copied to the device while it computes."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.batches import SliceBatch

# Batches that are read, or wait, beside the one in use: while one is copied the next is read.
BATCHES_AHEAD = 2
# Keeps the stream apart from others that are keyed by seed and a count, such as that of the views.
_STREAM = int.from_bytes(b"order", "big")


class SliceReader(Protocol):
    """What of a slice cache batches are made from."""

    @property
    def side(self) -> int:
        """Rows and columns of every slice."""
        ...

    def read(self, indices: NDArray[np.int64], out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
        """(n, side, side) HU, in the order of `indices`; copied to `out` where it is given."""
        ...

    def box_table(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, K, 4) boxes and (n,) their numbers."""
        ...


def steps_per_epoch(n_slices: int, batch_size: int) -> int:
    """Whole batches in a pass over the slices; what is left over is another set of slices in every epoch.

    Raises:
        BadPretrainingSetting: There is not one.
    """
    if n_slices < batch_size:
        raise BadPretrainingSetting(
            f"There are {n_slices} slices to train on, fewer than one batch of {batch_size}: take a smaller batch with "
            f"--set optimiser.batch_size={max(2, 2 ** (max(n_slices, 2).bit_length() - 2))}, or bring more slices."
        )
    return n_slices // batch_size


def order_of_epoch(n_slices: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The permutation of the slices in one epoch, which (seed, epoch) decide and nothing else."""
    stream = np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=np.array([0, 0, 0, _STREAM], np.uint64))
    return np.random.Generator(stream).permutation(n_slices)


def slices_of_step(indices: NDArray[np.int64], batch_size: int, *, seed: int, step: int) -> NDArray[np.int64]:
    """Places in the cache of the global batch of step `step`, from 0, in their order."""
    epoch, within = divmod(step, steps_per_epoch(len(indices), batch_size))
    order = order_of_epoch(len(indices), seed=seed, epoch=epoch)
    return indices[order[within * batch_size : (within + 1) * batch_size]]


class BatchLoader:
    """Yields this process's share of every step's batch, on its device.

    The threads copy a batch's slices into one array, each a stretch of it; on CUDA it is page-locked, travels as int16 on
    a stream of its own, and the memory is used again once the copy has ended.

    Args:
        reader: The cache.
        indices: Places in the cache of the slices to train on.
        batch_size: Of the global batch.
        share: First and one past the last place of the global batch that this process takes.
        seed: Decides the order.
        readers: Threads.
        device: Where the batches go.
    """

    def __init__(
        self,
        reader: SliceReader,
        indices: NDArray[np.int64],
        *,
        batch_size: int,
        share: tuple[int, int],
        seed: int,
        readers: int,
        device: torch.device,
    ) -> None:
        self._reader = reader
        self._indices = np.asarray(indices, np.int64)
        self._batch_size = batch_size
        self._share = share
        self._seed = seed
        self._readers = readers
        self._device = device
        self._steps_per_epoch = steps_per_epoch(len(indices), batch_size)
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def batches(self, steps: Sequence[int]) -> Generator[SliceBatch]:
        """Yields the batches of these steps, from 0, in their order; ends the threads when it ends or is closed."""
        with ThreadPoolExecutor(self._readers, thread_name_prefix="slices") as threads:
            waiting: deque[_Reading] = deque()
            ahead = iter(steps)
            try:
                yield from self._to_device(self._in_turn(threads, ahead, waiting))
            finally:
                for reading in waiting:
                    reading.cancel()

    def _in_turn(
        self, threads: ThreadPoolExecutor, steps: Iterator[int], waiting: "deque[_Reading]"
    ) -> Iterator[SliceBatch]:
        for step in steps:
            waiting.append(self._begin(threads, step))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft().whole()
        while waiting:
            yield waiting.popleft().whole()

    def _begin(self, threads: ThreadPoolExecutor, step: int) -> "_Reading":
        start, stop = self._share
        indices = self._slices_of(step)[start:stop]
        boxes, counts = self._reader.box_table(indices)
        side = self._reader.side
        pinned = self._device.type == "cuda"
        hu = torch.empty((len(indices), side, side), dtype=torch.int16, pin_memory=pinned)
        batch = SliceBatch(hu, torch.from_numpy(boxes), torch.from_numpy(counts), torch.from_numpy(indices))
        batch = batch.pin_memory() if pinned else batch
        bounds = np.linspace(0, len(indices), self._readers + 1).astype(int)
        parts = [
            threads.submit(self._reader.read, indices[low:high], hu.numpy()[low:high])
            for low, high in pairwise(bounds)
            if high > low
        ]
        return _Reading(batch, parts)

    def _slices_of(self, step: int) -> NDArray[np.int64]:
        epoch, within = divmod(step, self._steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, order_of_epoch(len(self._indices), seed=self._seed, epoch=epoch))
        return self._indices[self._order[1][within * self._batch_size : (within + 1) * self._batch_size]]

    def _to_device(self, batches: Iterator[SliceBatch]) -> Iterator[SliceBatch]:
        if self._device.type != "cuda":
            yield from batches
            return
        copying = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        before: SliceBatch | None = None
        for batch in batches:
            with torch.cuda.stream(copying):
                there = batch.to(self._device)
            if before is not None:
                yield before
            torch.cuda.current_stream(self._device).wait_stream(copying)
            for tensor in (there.hu, there.boxes, there.n_boxes, there.index):
                tensor.record_stream(torch.cuda.current_stream(self._device))
            before = there
        if before is not None:
            yield before


class _Reading:
    """A batch whose slices are being read."""

    def __init__(self, batch: SliceBatch, parts: "list[Future[NDArray[np.int16]]]") -> None:
        self._batch = batch
        self._parts = parts

    def whole(self) -> SliceBatch:
        for part in self._parts:
            part.result()
        return self._batch

    def cancel(self) -> None:
        for part in self._parts:
            part.cancel()
