"""One series through decoding and the engine, slice by slice: a few slices decode ahead, a few wait for the device, no more.

Memory is bounded by the two look-aheads, whatever the length of the series.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.pixels import CTSlice
from slicebank_worker.engine.engine import Engine
from slicebank_worker.engine.lanes import Features, RowStream
from slicebank_worker.engine.rows import PreparedSlice, RowSpec, prepare_slice

# One slice more than the decoders hold keeps them busy while the job hands a slice on.
_SPARE_SLICES = 1


@dataclass(frozen=True, slots=True)
class EncodedSlice:
    """One slice of the series, encoded.

    Attributes:
        index: 0-based position in the stack.
        features: (W, D) float32.
        thumbnail: JPEG bytes, or None.
        padding_pixels: how many pixels of the slice were padding.
        decode_s: seconds its decoding and windowing took on a thread.
        wait_s: seconds the job waited for its features.
    """

    index: int
    features: Features
    thumbnail: bytes | None
    padding_pixels: int
    decode_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class SkippedSlice:
    """One slice that could not be decoded."""

    index: int
    detail: str


@dataclass(slots=True)
class SeriesEncoder:
    """Runs series through an engine.

    Attributes:
        engine: the process's engine.
        decoders: the process's decoding threads.
        decode_threads: how many of them there are.
    """

    engine: Engine
    decoders: Executor
    decode_threads: int

    def run(
        self, load: Callable[[int], CTSlice], n_slices: int, spec: RowSpec, stream: RowStream
    ) -> Iterator[EncodedSlice | SkippedSlice]:
        """Yields the slices of a series in order.

        Args:
            load: gives slice i of the stack; called on the decoding threads.
            n_slices: how many there are.
            spec: what the encoder reads.
            stream: the job's place in the engine.
        """
        decode_ahead = self.decode_threads + _SPARE_SLICES
        # Two batches: one on the device, one waiting, so that the device goes from one to the next.
        encode_ahead = max(2, -(-2 * self.engine.batch_rows // len(spec.windows)))
        decoding: deque[tuple[int, Future[tuple[PreparedSlice, float]]]] = deque()
        encoding: deque[tuple[int, PreparedSlice, float, Future[Features]]] = deque()
        upcoming = iter(range(n_slices))
        try:
            while True:
                while len(decoding) < decode_ahead and (index := next(upcoming, None)) is not None:
                    decoding.append((index, self.decoders.submit(_timed, load, index, spec)))
                if decoding and len(encoding) < encode_ahead:
                    index, decoded = decoding.popleft()
                    try:
                        prepared, seconds = decoded.result()
                    except ImagingError as error:
                        yield SkippedSlice(index, str(error))
                        continue
                    encoding.append((index, prepared, seconds, self.engine.submit(stream, prepared.rows)))
                elif encoding:
                    yield _finished(*encoding.popleft())
                else:
                    return
                while encoding and encoding[0][3].done():
                    yield _finished(*encoding.popleft())
        finally:
            for _, future in decoding:
                future.cancel()


def _timed(load: Callable[[int], CTSlice], index: int, spec: RowSpec) -> tuple[PreparedSlice, float]:
    started = time.perf_counter()
    prepared = prepare_slice(load(index), spec)
    return prepared, time.perf_counter() - started


def _finished(index: int, prepared: PreparedSlice, decode_s: float, features: Future[Features]) -> EncodedSlice:
    started = time.perf_counter()
    values = features.result()
    wait_s = time.perf_counter() - started
    return EncodedSlice(index, values, prepared.thumbnail, prepared.padding_pixels, decode_s, wait_s)
