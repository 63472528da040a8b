"""The least that a bag costs: decode, encode and write one after the other in one process, with all cores for each."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.inputs import Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slicebank_imaging.slices import SliceRef
    from slicebank_models.inference import FrozenEncoder
    from slicebank_worker.engine.rows import PreparedSlice

# A size at which a CPU is near its best (docs/performance.md). Every core encodes batches of its own there, which is faster than all cores on one batch.
_BATCH_ROWS = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """Times of one series, seconds.

    Attributes:
        decode: reading, decoding, windowing and resizing every slice, on as many threads as there are cores.
        encode: all rows, every core with batches of its own.
        write: the bag file, flushed, and its copy into the store, flushed and renamed.
    """

    decode: float
    encode: float
    write: float


class Yardstick:
    """Measures series in a process of its own, set up as `slicebank serve` sets its workers up."""

    def __init__(self) -> None:
        # Read by torch when it is first imported; see the supervisor.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def measure(self, series: Series, encoder: str) -> Parts:
        """Measures one series; the first one also pays for loading."""
        return self._process.submit(_measure, series.folder, encoder).result()

    def close(self) -> None:
        """Ends the process."""
        self._process.shutdown()


def medians_ms(measured: Sequence[Parts]) -> dict[str, float]:
    """Medians, ms."""
    return {
        name: 1000 * statistics.median(getattr(parts, name) for parts in measured)
        for name in ("decode", "encode", "write")
    }


def _measure(folder: Path, encoder_id: str) -> Parts:
    from benchmarks.slices import read_stack

    encoder = _encoder(encoder_id)
    slices = read_stack(folder).slices
    started = time.perf_counter()
    prepared = _decode(folder, slices, encoder)
    decoded = time.perf_counter()
    rows = _rows(prepared)
    begun = time.perf_counter()
    features = _encode(encoder, rows)
    encoded = time.perf_counter()
    _write(slices, encoder, features, prepared)
    return Parts(decoded - started, encoded - begun, time.perf_counter() - encoded)


@cache
def _encoder(encoder_id: str) -> FrozenEncoder:
    from slicebank_models.inference import FrozenEncoder
    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    card = EncoderRegistry().get(encoder_id)
    return FrozenEncoder(card, load_encoder(card))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _decode(folder: Path, slices: Sequence[SliceRef], encoder: FrozenEncoder) -> list[PreparedSlice]:
    from slicebank_imaging.pixels import SliceLoader
    from slicebank_imaging.windows import parse_windows
    from slicebank_models.cards import InputKind
    from slicebank_worker.engine.rows import RowSpec, prepare_slice

    card = encoder.card
    hounsfield = card.input_kind is InputKind.HU
    spec = RowSpec(parse_windows(card.windows), card.input_size, hounsfield=hounsfield, thumbnails=True)
    loader = SliceLoader(folder)
    return list(_pool().map(lambda ref: prepare_slice(loader.load(ref), spec), slices))


def _rows(prepared: Sequence[PreparedSlice]) -> NDArray[Any]:
    import numpy as np

    from slicebank_worker.engine.rows import make_rows

    return np.concatenate([make_rows(item.parcel) for item in prepared])


def _encode(encoder: FrozenEncoder, rows: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np
    import torch

    def encode(batch: NDArray[Any]) -> NDArray[np.float32]:
        torch.set_num_threads(1)
        return encoder.encode(batch)

    batches = [rows[at : at + _BATCH_ROWS] for at in range(0, len(rows), _BATCH_ROWS)]
    return np.concatenate(list(_pool().map(encode, batches)))


def _write(
    slices: Sequence[SliceRef],
    encoder: FrozenEncoder,
    features: NDArray[np.float32],
    prepared: Sequence[PreparedSlice],
) -> None:
    from slicebank_service.recipes import recipe_of
    from slicebank_store.bags import BagHeader, BagSlice, BagWriter
    from slicebank_store.blobs import DirectoryBlobs
    from slicebank_store.types import BagLevel

    n_windows = len(encoder.card.windows)
    header = BagHeader(
        name="0" * 32,
        series_uid="2.25.1",
        revision=1,
        stack=0,
        level=BagLevel.SLICE,
        recipe=recipe_of(encoder.card),
        content_digest="0" * 64,
        slices=tuple(BagSlice.from_dict(ref.as_dict()) for ref in slices),
        geometry={},
        rescale={},
        rows=512,
        columns=512,
        field_of_view_mm=380.0,
        software="slicebank benchmark",
        created_at=time.time(),
    )
    with TemporaryDirectory() as scratch:
        writer = BagWriter(
            Path(scratch) / "bag", header, n_slices=len(slices), n_windows=n_windows, dim=features.shape[1]
        )
        for index, item in enumerate(prepared):
            writer.append_slice(index, features[index * n_windows : (index + 1) * n_windows], item.thumbnail)
        file = writer.close(encoder.numerics)
        DirectoryBlobs(Path(scratch) / "blobs").put_file("bag/of/benchmark.h5", file.path)
