"""Batches are shared between jobs, results find their way home, errors reach only those who asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from slicebank_worker.engine import EncoderKey, EncoderShelf, Engine, EngineClosed, EngineLimits
from slicebank_worker.engine.lanes import BULK_EVERY, Lanes
from slicebank_worker.engine.shelf import Batch
from slicebank_worker.errors import DeviceMemoryShort

KEY = EncoderKey("sums", "0" * 64, "fp32")
OTHER = EncoderKey("negated", "1" * 64, "fp32")


class Sums:
    """Encodes a row as its sum and its first pixel; remembers the batches it saw; can be held."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    @property
    def numerics(self) -> dict[str, Any]:
        return {"dtype": "float32"}

    depth = 1

    def launch(self, parcels: Sequence[Any]) -> Callable[[], Batch]:
        return lambda: Batch(self.encode(np.concatenate(parcels)), 0.25)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        self.entered.set()
        assert self.gate.wait(30)
        self.batches.append([int(r[0, 0]) for r in rows])
        flat = rows.reshape(len(rows), -1).astype(np.float32)
        if flat.max() == 255:
            raise ValueError("a row of 255 breaks this encoder")
        return self.sign * np.stack([flat.sum(1), flat[:, 0]], axis=1)


def rows(*marks: int) -> np.ndarray:
    return np.stack([np.full((4, 4), m, np.uint8) for m in marks])


def one_runner(encoders: dict[EncoderKey, Sums]) -> Engine:
    return Engine([EncoderShelf(encoders.__getitem__, kept=3)], EngineLimits((8,), 8))


@pytest.fixture
def encoders() -> dict[EncoderKey, Sums]:
    return {KEY: Sums(), OTHER: Sums(-1.0)}


@pytest.fixture
def engine(encoders: dict[EncoderKey, Sums]) -> Iterator[Engine]:
    engine = one_runner(encoders)
    yield engine
    engine.close()


def hold_device(engine: Engine, encoder: Sums) -> None:
    """Sends one slice and keeps the device busy with it, so that what follows has to queue."""
    encoder.gate.clear()
    with engine.stream(KEY, interactive=False) as stream:
        first = engine.submit(stream, rows(250))
        assert encoder.entered.wait(30)
    assert not first.cancelled()


def test_results_go_to_who_asked(engine: Engine) -> None:
    with engine.stream(KEY, interactive=False) as a, engine.stream(KEY, interactive=False) as b:
        futures = [(m, engine.submit(s, rows(m, m + 1))) for m, s in [(1, a), (3, b), (5, a), (7, b)]]
        for mark, future in futures:
            np.testing.assert_array_equal(future.result(30).features, [[16 * mark, mark], [16 * mark + 16, mark + 1]])


def test_jobs_share_batches_in_turn(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    encoder = encoders[KEY]
    hold_device(engine, encoder)
    with engine.stream(KEY, interactive=False) as a, engine.stream(KEY, interactive=False) as b:
        futures = [engine.submit(a, rows(10 + i, 10 + i)) for i in range(6)] + [
            engine.submit(b, rows(20 + i, 20 + i)) for i in range(2)
        ]
        encoder.gate.set()
        for future in futures:
            future.result(30)
    assert encoder.batches[1] == [10, 10, 20, 20, 11, 11, 21, 21]
    assert encoder.batches[2] == [12, 12, 13, 13, 14, 14, 15, 15]


def test_interactive_before_bulk(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    encoder = encoders[KEY]
    hold_device(engine, encoder)
    with engine.stream(KEY, interactive=False) as bulk, engine.stream(KEY, interactive=True) as urgent:
        futures = [engine.submit(bulk, rows(*[10 + i] * 4)) for i in range(4)] + [
            engine.submit(urgent, rows(*[20 + i] * 4)) for i in range(2)
        ]
        encoder.gate.set()
        for future in futures:
            future.result(30)
    assert encoder.batches[1] == [20] * 4 + [21] * 4


def test_encoders_never_share_a_batch(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    with engine.stream(KEY, interactive=False) as a, engine.stream(OTHER, interactive=False) as b:
        futures = [engine.submit(s, rows(i)) for i in range(8) for s in (a, b)]
        values = [f.result(30).features[0, 1] for f in futures]
    assert values == [sign * i for i in range(8) for sign in (1, -1)]
    assert sum(map(len, encoders[KEY].batches)) == sum(map(len, encoders[OTHER].batches)) == 8


def test_an_error_reaches_the_batch_and_the_engine_goes_on(engine: Engine) -> None:
    with engine.stream(KEY, interactive=False) as stream:
        with pytest.raises(ValueError, match="255"):
            engine.submit(stream, rows(255)).result(30)
        assert engine.submit(stream, rows(2)).result(30).features[0, 1] == 2


def test_an_encoder_that_does_not_load_fails_its_own_job(engine: Engine) -> None:
    missing = EncoderKey("missing", "", "fp32")
    with engine.stream(missing, interactive=False) as a, engine.stream(KEY, interactive=False) as b:
        with pytest.raises(KeyError):
            engine.submit(a, rows(1)).result(30)
        assert engine.submit(b, rows(1)).result(30).features[0, 1] == 1


def test_leaving_a_stream_cancels_what_waits(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    hold_device(engine, encoders[KEY])
    with engine.stream(KEY, interactive=False) as stream:
        waiting = engine.submit(stream, rows(9))
    assert waiting.cancelled()
    encoders[KEY].gate.set()


def test_a_closed_engine_says_so(encoders: dict[EncoderKey, Sums]) -> None:
    engine = one_runner(encoders)
    engine.close()
    with engine.stream(KEY, interactive=False) as stream, pytest.raises(EngineClosed):
        engine.submit(stream, rows(1))


def test_a_slice_larger_than_a_batch_still_runs() -> None:
    lanes = Lanes()
    stream = lanes.open(KEY, interactive=False)
    lanes.put(stream, rows(*range(9)))
    lanes.put(stream, rows(1))
    assert [len(t.parcel) for t in lanes.take(KEY, 4)] == [9]


def test_every_slice_has_its_share_of_the_batch(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    hold_device(engine, encoders[KEY])
    with engine.stream(KEY, interactive=False) as stream:
        futures = [engine.submit(stream, rows(*marks)) for marks in ((1, 2, 3), (4,))]
        encoders[KEY].gate.set()
        assert [future.result(30).device_s for future in futures] == [0.25 * 3 / 4, 0.25 / 4]
    usage = engine.usage()
    assert (usage.runners, usage.batches, usage.rows, usage.busy_s) == (1, 2, 5, 0.5)
    assert usage.batch_rows == {"sums": 8}


class Overlapping(Sums):
    """Two batches may be in hand; each ends only when it is let go."""

    depth = 2

    def __init__(self) -> None:
        super().__init__()
        self.launched = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def launch(self, parcels: Sequence[Any]) -> Callable[[], Batch]:
        features = self.encode(np.concatenate(parcels))
        self.launched.release()

        def finish() -> Batch:
            assert self.let_go.acquire(timeout=30)
            return Batch(features, 0.0)

        return finish


def test_the_next_batch_is_launched_before_the_last_one_has_ended() -> None:
    encoder = Overlapping()
    engine = one_runner({KEY: encoder})
    with engine.stream(KEY, interactive=False) as stream:
        futures = [engine.submit(stream, rows(*[mark] * 8)) for mark in range(3)]
        for _ in range(2):
            assert encoder.launched.acquire(timeout=30)
        assert not any(future.done() for future in futures)
        for _ in range(3):
            encoder.let_go.release()
        assert [future.result(30).features[0, 1] for future in futures] == [0, 1, 2]
    engine.close()


def test_a_batch_in_hand_is_delivered_though_nothing_follows() -> None:
    encoder = Overlapping()
    engine = one_runner({KEY: encoder})
    encoder.let_go.release()
    with engine.stream(KEY, interactive=False) as stream:
        assert engine.submit(stream, rows(7)).result(30).features[0, 1] == 7
    engine.close()


def test_runners_share_the_last_rows() -> None:
    encoders = [Sums(), Sums()]
    for encoder in encoders:
        encoder.gate.clear()
    shelves = [EncoderShelf(lambda _, encoder=encoder: encoder, kept=1) for encoder in encoders]
    engine = Engine(shelves, EngineLimits((8,), 8, fill_wait_s=0.0))
    with engine.stream(KEY, interactive=False) as stream:
        first = [engine.submit(stream, rows(*[1] * 8)) for _ in range(2)]
        for encoder in encoders:
            assert encoder.entered.wait(30)
        last = [engine.submit(stream, rows(2)) for _ in range(10)]
        for encoder in encoders:
            encoder.gate.set()
        for future in (*first, *last):
            future.result(30)
    engine.close()
    assert [1, 1, 1, 1, 1, 1, 1, 1] in encoders[0].batches
    assert sorted((len(batch) for encoder in encoders for batch in encoder.batches if 2 in batch), reverse=True)[0] == 5


def test_an_encoder_is_loaded_once_for_all_runners_of_a_device() -> None:
    loaded: list[EncoderKey] = []

    def load(key: EncoderKey) -> Sums:
        loaded.append(key)
        return Sums()

    shelf = EncoderShelf(load, kept=1)
    engine = Engine([shelf] * 4, EngineLimits((1,), 1))
    engine.warm(KEY)
    with engine.stream(KEY, interactive=False) as stream:
        for future in [engine.submit(stream, rows(i)) for i in range(20)]:
            future.result(30)
    assert loaded == [KEY]
    assert engine.encoders == ["sums"]
    with engine.stream(OTHER, interactive=False) as stream:
        engine.submit(stream, rows(1)).result(30)
    assert engine.encoders == ["negated"]
    engine.close()


class Small(Sums):
    """A device on which only so many rows fit."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits

    def encode(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) > self.fits:
            raise DeviceMemoryShort("too much")
        return super().encode(rows)


@pytest.mark.parametrize("fits", [2, 3, 5, 7])
def test_a_batch_that_does_not_fit_is_halved_and_the_size_remembered(fits: int) -> None:
    encoder = Small(fits)
    engine = one_runner({KEY: encoder})
    try:
        hold_device(engine, encoder)
        with engine.stream(KEY, interactive=False) as stream:
            futures = [engine.submit(stream, rows(i, i)) for i in range(1, 21)]
            encoder.gate.set()
            marks = [future.result(30).features[0, 1] for future in futures]
        assert marks == list(range(1, 21))
        assert max(map(len, encoder.batches)) <= fits
        usage = engine.usage()
        assert usage.batch_rows["sums"] <= fits
        assert 1 <= usage.halvings <= 3, "after that the size was known"
    finally:
        engine.close()


def test_a_slice_that_does_not_fit_by_itself_fails_its_job_alone() -> None:
    encoder = Small(2)
    engine = one_runner({KEY: encoder})
    try:
        hold_device(engine, encoder)
        with engine.stream(KEY, interactive=False) as small, engine.stream(KEY, interactive=False) as large:
            good, bad = engine.submit(small, rows(1, 1)), engine.submit(large, rows(2, 2, 2))
            encoder.gate.set()
            assert good.result(30).features[0, 1] == 1
            with pytest.raises(DeviceMemoryShort):
                bad.result(30)
    finally:
        engine.close()


def test_bulk_moves_beside_endless_interactive_rows(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    encoder = encoders[KEY]
    hold_device(engine, encoder)
    with engine.stream(KEY, interactive=False) as bulk, engine.stream(KEY, interactive=True) as urgent:
        waiting = [engine.submit(urgent, rows(*[1] * 8)) for _ in range(2 * BULK_EVERY)]
        waiting += [engine.submit(bulk, rows(*[2] * 8)) for _ in range(2)]
        encoder.gate.set()
        for future in waiting:
            future.result(30)
    kinds = [batch[0] for batch in encoder.batches[1:]]
    assert kinds.index(2) < BULK_EVERY
    assert kinds[: 2 * BULK_EVERY].count(2) == 2


class Counting(Sums):
    """Remembers how many batches were computed at once, and waits for company."""

    def __init__(self, patience_s: float) -> None:
        super().__init__()
        self.patience_s = patience_s
        self.lock = threading.Lock()
        self.inside = self.most = 0
        self.company = threading.Barrier(2)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        with contextlib.suppress(threading.BrokenBarrierError):
            self.company.wait(self.patience_s)
        with self.lock:
            self.inside -= 1
        return super().encode(rows)


@pytest.mark.parametrize(("at_once", "most"), [(None, 2), (1, 1)])
def test_of_a_large_encoder_no_more_batches_are_in_hand_than_may_be(at_once: int | None, most: int) -> None:
    large, small = Counting(0.2 if at_once else 30), Sums(-1.0)
    limits = {KEY: EngineLimits((1,), 1, at_once=at_once), OTHER: EngineLimits((8,), 8)}
    shelf = EncoderShelf({KEY: large, OTHER: small}.__getitem__, kept=3)
    engine = Engine([shelf] * 3, limits.__getitem__)
    try:
        assert engine.rows_in_hand(KEY) == (2 if at_once else 6)
        assert engine.rows_in_hand(OTHER) == 48
        with engine.stream(KEY, interactive=False) as a, engine.stream(OTHER, interactive=False) as b:
            volumes = [engine.submit(a, rows(mark)) for mark in range(4)]
            slices = [engine.submit(b, rows(mark)) for mark in range(4)]
            assert [future.result(30).features[0, 1] for future in volumes] == [0, 1, 2, 3]
            assert [future.result(30).features[0, 1] for future in slices] == [0, -1, -2, -3]
    finally:
        engine.close()
    assert large.most >= most
    assert at_once is None or large.most <= at_once


def test_a_failed_batch_lets_the_next_one_in() -> None:
    encoder = Sums()
    engine = Engine([EncoderShelf(lambda _: encoder, kept=1)] * 2, EngineLimits((1,), 1, at_once=1))
    try:
        with engine.stream(KEY, interactive=False) as stream:
            with pytest.raises(ValueError, match="255"):
                engine.submit(stream, rows(255)).result(30)
            assert engine.submit(stream, rows(3)).result(30).features[0, 1] == 3
    finally:
        engine.close()
