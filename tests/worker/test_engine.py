"""Batches are shared between jobs, results find their way home, errors reach only those who asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from slicebank_worker.engine.engine import Engine, EngineClosed, EngineLimits
from slicebank_worker.engine.lanes import EncoderKey, Lanes

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


@pytest.fixture
def encoders() -> dict[EncoderKey, Sums]:
    return {KEY: Sums(), OTHER: Sums(-1.0)}


@pytest.fixture
def engine(encoders: dict[EncoderKey, Sums]) -> Iterator[Engine]:
    engine = Engine(encoders.__getitem__, EngineLimits(batch_rows=8))
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
            np.testing.assert_array_equal(future.result(30), [[16 * mark, mark], [16 * mark + 16, mark + 1]])


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
        values = [f.result(30)[0, 1] for f in futures]
    assert values == [sign * i for i in range(8) for sign in (1, -1)]
    assert sum(map(len, encoders[KEY].batches)) == sum(map(len, encoders[OTHER].batches)) == 8


def test_an_error_reaches_the_batch_and_the_engine_goes_on(engine: Engine) -> None:
    with engine.stream(KEY, interactive=False) as stream:
        with pytest.raises(ValueError, match="255"):
            engine.submit(stream, rows(255)).result(30)
        assert engine.submit(stream, rows(2)).result(30)[0, 1] == 2


def test_an_encoder_that_does_not_load_fails_its_own_job(engine: Engine) -> None:
    missing = EncoderKey("missing", "", "fp32")
    with engine.stream(missing, interactive=False) as a, engine.stream(KEY, interactive=False) as b:
        with pytest.raises(KeyError):
            engine.submit(a, rows(1)).result(30)
        assert engine.submit(b, rows(1)).result(30)[0, 1] == 1


def test_leaving_a_stream_cancels_what_waits(engine: Engine, encoders: dict[EncoderKey, Sums]) -> None:
    hold_device(engine, encoders[KEY])
    with engine.stream(KEY, interactive=False) as stream:
        waiting = engine.submit(stream, rows(9))
    assert waiting.cancelled()
    encoders[KEY].gate.set()


def test_a_closed_engine_says_so(encoders: dict[EncoderKey, Sums]) -> None:
    engine = Engine(encoders.__getitem__, EngineLimits(batch_rows=8))
    engine.close()
    with engine.stream(KEY, interactive=False) as stream, pytest.raises(EngineClosed):
        engine.submit(stream, rows(1))


def test_a_slice_larger_than_a_batch_still_runs() -> None:
    lanes = Lanes()
    stream = lanes.open(KEY, interactive=False)
    lanes.put(stream, rows(*range(9)))
    lanes.put(stream, rows(1))
    assert [len(t.rows) for t in lanes.take(KEY, 4)] == [9]
