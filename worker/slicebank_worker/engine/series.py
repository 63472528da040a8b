"""One series through decoding and the engine, slice by slice: a few slices decode ahead, a few wait for the device, no more.

Memory is bounded by the two look-aheads, whatever the length of the series.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.pixels import CTSlice
from slicebank_worker.engine.decode_ahead import DecodeAhead
from slicebank_worker.engine.engine import Engine
from slicebank_worker.engine.lanes import RowStream
from slicebank_worker.engine.parcels import Encoded, Features
from slicebank_worker.engine.rows import PreparedSlice, RowSpec, prepare_slice

# One slice more than the decoders hold keeps them busy while the job hands a slice on.
_SPARE_SLICES = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SliceTimes:
    """Where the time of one slice went, seconds.

    Attributes:
        decode_s: reading and decoding, on a decoding thread.
        transform_s: windows, resize and thumbnail, on the same thread.
        decode_wait_s: the job stood waiting for that.
        encode_s: this slice's share of its batch on the device.
        encode_wait_s: the job stood waiting for its features.
    """

    decode_s: float
    transform_s: float
    decode_wait_s: float
    encode_s: float
    encode_wait_s: float


@dataclass(frozen=True, slots=True)
class EncodedSlice:
    """One slice of the series, encoded.

    Attributes:
        index: 0-based position in the stack.
        features: (W, D) float32.
        thumbnail: JPEG bytes, or None.
        padding_pixels: how many pixels of the slice were padding.
        times: where its time went.
    """

    index: int
    features: Features
    thumbnail: bytes | None
    padding_pixels: int
    times: SliceTimes


@dataclass(frozen=True, slots=True)
class SkippedSlice:
    """One slice that could not be decoded."""

    index: int
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class ReadSlice(Generic[T]):
    """One slice of a scan, decoded.

    Attributes:
        index: 0-based position in the stack.
        prepared: what was made of it.
        times: where its time went; none on the device.
    """

    index: int
    prepared: T
    times: SliceTimes


@dataclass(frozen=True, slots=True)
class _Decoded(Generic[T]):
    prepared: T
    decode_s: float
    transform_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A slice whose rows are with the engine."""

    index: int
    decoded: _Decoded[PreparedSlice]
    decode_wait_s: float
    encoded: Future[Encoded]


class SeriesEncoder:
    """Runs series through an engine; any number of them at once, each on a thread of its own."""

    def __init__(
        self, engine: Engine, decoders: Executor, decode_threads: int, *, rows_on_device: bool = False
    ) -> None:
        """Starts with nothing in hand.

        Args:
            engine: the process's engine.
            decoders: the process's decoding threads.
            decode_threads: how many of them there are.
            rows_on_device: the device makes the rows of decoded slices.
        """
        self.engine = engine
        self._decoders = decoders
        self._decode_threads = decode_threads
        self._rows_on_device = rows_on_device
        self._lock = threading.Lock()
        self._decoding_s = 0.0
        self._slices = 0

    @property
    def slices(self) -> int:
        """Slices encoded, or read into scans, up to now."""
        with self._lock:
            return self._slices

    @property
    def decoding_s(self) -> float:
        """Seconds that decoding threads have worked up to now, summed over threads."""
        with self._lock:
            return self._decoding_s

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
        encode_ahead = max(2, -(-self.engine.rows_in_hand(stream.key) // len(spec.windows)))
        decoding = self._ahead(load, n_slices, partial(prepare_slice, spec=spec, on_device=self._rows_on_device))
        encoding: deque[_Waiting] = deque()
        try:
            while True:
                decoding.fill()
                if decoding and len(encoding) < encode_ahead:
                    index, future = decoding.pop()
                    started = time.perf_counter()
                    try:
                        decoded = future.result()
                    except ImagingError as error:
                        yield SkippedSlice(index, str(error))
                        continue
                    waited = time.perf_counter() - started
                    encoded = self.engine.submit(stream, decoded.prepared.parcel)
                    encoding.append(_Waiting(index, decoded, waited, encoded))
                elif encoding:
                    yield self._finished(encoding.popleft())
                else:
                    return
                while encoding and encoding[0].encoded.done():
                    yield self._finished(encoding.popleft())
        finally:
            decoding.cancel()

    def read(
        self, load: Callable[[int], CTSlice], n_slices: int, prepare: Callable[[CTSlice], T]
    ) -> Iterator[ReadSlice[T] | SkippedSlice]:
        """Yields the slices of a series in order, for an encoder that needs all of them at once.

        Args:
            load: gives slice i of the stack; called on the decoding threads.
            n_slices: how many there are.
            prepare: makes of a slice what is needed of it; called on the decoding threads.
        """
        decoding = self._ahead(load, n_slices, prepare)
        try:
            decoding.fill()
            while decoding:
                index, future = decoding.pop()
                started = time.perf_counter()
                try:
                    decoded = future.result()
                except ImagingError as error:
                    yield SkippedSlice(index, str(error))
                else:
                    waited = time.perf_counter() - started
                    with self._lock:
                        self._slices += 1
                    times = SliceTimes(decoded.decode_s, decoded.transform_s, waited, 0.0, 0.0)
                    yield ReadSlice(index, decoded.prepared, times)
                decoding.fill()
        finally:
            decoding.cancel()

    def _ahead(
        self, load: Callable[[int], CTSlice], n_slices: int, prepare: Callable[[CTSlice], T]
    ) -> DecodeAhead[_Decoded[T]]:
        ahead = self._decode_threads + _SPARE_SLICES
        return DecodeAhead(self._decoders, ahead, partial(self._decode, load, prepare), n_slices)

    def _decode(self, load: Callable[[int], CTSlice], prepare: Callable[[CTSlice], T], index: int) -> _Decoded[T]:
        started = time.perf_counter()
        ct = load(index)
        loaded = time.perf_counter()
        prepared = prepare(ct)
        ended = time.perf_counter()
        with self._lock:
            self._decoding_s += ended - started
        return _Decoded(prepared, loaded - started, ended - loaded)

    def _finished(self, item: _Waiting) -> EncodedSlice:
        started = time.perf_counter()
        encoded = item.encoded.result()
        waited = time.perf_counter() - started
        with self._lock:
            self._slices += 1
        decoded = item.decoded
        times = SliceTimes(decoded.decode_s, decoded.transform_s, item.decode_wait_s, encoded.device_s, waited)
        return EncodedSlice(
            item.index, encoded.features, decoded.prepared.thumbnail, decoded.prepared.padding_pixels, times
        )
