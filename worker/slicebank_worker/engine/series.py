"""One series through decoding and the engine, slice by slice: a few slices decode ahead, a few wait for the device, no more.

Memory is bounded by the two look-aheads, whatever the length of the series.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.pixels import CTSlice
from slicebank_worker.engine.engine import Engine
from slicebank_worker.engine.lanes import RowStream
from slicebank_worker.engine.parcels import Encoded, Features
from slicebank_worker.engine.rows import PreparedSlice, RowSpec, prepare_slice

# One slice more than the decoders hold keeps them busy while the job hands a slice on.
_SPARE_SLICES = 1


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


@dataclass(frozen=True, slots=True)
class _Decoded:
    prepared: PreparedSlice
    decode_s: float
    transform_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A slice whose rows are with the engine."""

    index: int
    decoded: _Decoded
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
        """Slices encoded up to now."""
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
        decode_ahead = self._decode_threads + _SPARE_SLICES
        encode_ahead = max(2, -(-self.engine.rows_in_hand // len(spec.windows)))
        decoding: deque[tuple[int, Future[_Decoded]]] = deque()
        encoding: deque[_Waiting] = deque()
        upcoming = iter(range(n_slices))
        try:
            while True:
                while len(decoding) < decode_ahead and (index := next(upcoming, None)) is not None:
                    decoding.append(
                        (index, self._decoders.submit(contextvars.copy_context().run, self._decode, load, index, spec))
                    )
                if decoding and len(encoding) < encode_ahead:
                    index, future = decoding.popleft()
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
            for _, future in decoding:
                future.cancel()

    def _decode(self, load: Callable[[int], CTSlice], index: int, spec: RowSpec) -> _Decoded:
        started = time.perf_counter()
        ct = load(index)
        loaded = time.perf_counter()
        prepared = prepare_slice(ct, spec, on_device=self._rows_on_device)
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
