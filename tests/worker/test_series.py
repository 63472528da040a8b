"""A series runs through in order with bounded look-ahead, whatever fails on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.windows import Window
from slicebank_worker.engine import EncoderKey, EncoderShelf, Engine, EngineLimits
from slicebank_worker.engine.rows import RowSpec
from slicebank_worker.engine.series import EncodedSlice, ReadSlice, SeriesEncoder, SkippedSlice
from slicebank_worker.engine.shelf import Batch

KEY = EncoderKey("mean", "0" * 64, "fp32")
SPEC = RowSpec(
    (Window("a", 0.0, 255.0), Window("b", 0.0, 510.0)),
    size=8,
    hounsfield=False,
    thumbnails=False,
)


class Mean:
    numerics: dict[str, Any] = {}  # noqa: RUF012 - a constant of the test

    depth = 1

    def launch(self, parcels: Sequence[Any]) -> Callable[[], Batch]:
        rows = np.concatenate(parcels)
        return lambda: Batch(rows.reshape(len(rows), -1).mean(1, keepdims=True).astype(np.float32), 0.5)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine([EncoderShelf(lambda key: Mean(), kept=1)], EngineLimits((4,), 4))
    yield engine
    engine.close()


def flat(value: int) -> CTSlice:
    return CTSlice(np.full((8, 8), value, np.uint8), 1.0, 0.0, None)


def test_slices_come_back_in_order(engine: Engine) -> None:
    with ThreadPoolExecutor(3) as pool, engine.stream(KEY, interactive=True) as stream:
        items = list(SeriesEncoder(engine, pool, 3).run(flat, 100, SPEC, stream))
    assert [item.index for item in items] == list(range(100))
    assert all(isinstance(item, EncodedSlice) for item in items)
    features = np.concatenate([item.features for item in items if isinstance(item, EncodedSlice)])
    np.testing.assert_array_equal(features[0::2, 0], np.arange(100))
    np.testing.assert_array_equal(features[1::2, 0], np.floor(np.arange(100) / 2 + 0.5))


def test_a_bad_slice_is_named_and_the_others_go_on(engine: Engine) -> None:
    def load(index: int) -> CTSlice:
        if index in (3, 9):
            raise DecodeFailed(f"slice {index} is broken")
        return flat(index)

    with ThreadPoolExecutor(2) as pool, engine.stream(KEY, interactive=True) as stream:
        items = list(SeriesEncoder(engine, pool, 2).run(load, 10, SPEC, stream))
    skipped = [item for item in items if isinstance(item, SkippedSlice)]
    assert [(item.index, item.detail) for item in skipped] == [(3, "slice 3 is broken"), (9, "slice 9 is broken")]
    assert sorted(item.index for item in items) == list(range(10))


def test_few_slices_are_in_hand_at_once(engine: Engine) -> None:
    loaded, lock = 0, threading.Lock()

    def load(index: int) -> CTSlice:
        nonlocal loaded
        with lock:
            loaded += 1
        return flat(index % 256)

    with ThreadPoolExecutor(2) as pool, engine.stream(KEY, interactive=True) as stream:
        series = SeriesEncoder(engine, pool, 2)
        for taken, _ in enumerate(series.run(load, 500, SPEC, stream), start=1):
            # Three decode ahead; eight rows, so four slices, wait for the device; one more was just taken.
            assert loaded - taken <= 3 + 4 + 1


def test_leaving_early_leaves_nothing_waiting(engine: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        with engine.stream(KEY, interactive=True) as stream:
            run = SeriesEncoder(engine, pool, 2).run(flat, 100, SPEC, stream)
            next(run)
            run.close()
        with engine.stream(KEY, interactive=True) as stream:
            assert len(list(SeriesEncoder(engine, pool, 2).run(flat, 5, SPEC, stream))) == 5


def test_a_scan_is_read_in_order_without_the_engine(engine: Engine) -> None:
    def load(index: int) -> CTSlice:
        if index in (0, 7):
            raise DecodeFailed(f"slice {index} is broken")
        return flat(index)

    with ThreadPoolExecutor(3) as pool:
        series = SeriesEncoder(engine, pool, 3)
        items = list(series.read(load, 40, lambda ct: int(ct.stored[0, 0])))
    assert [item.index for item in items] == list(range(40))
    assert [item.index for item in items if isinstance(item, SkippedSlice)] == [0, 7]
    assert all(item.prepared == item.index for item in items if isinstance(item, ReadSlice))
    assert series.slices == 38


def test_who_stops_reading_stops_the_decoding(engine: Engine) -> None:
    loaded: list[int] = []

    def load(index: int) -> CTSlice:
        loaded.append(index)
        return flat(index % 255)

    with ThreadPoolExecutor(1) as pool:
        reading = SeriesEncoder(engine, pool, 1).read(load, 1000, lambda ct: ct)
        next(reading)
        reading.close()  # type: ignore[attr-defined]
    assert len(loaded) <= 4, "one thread, one slice ahead"
