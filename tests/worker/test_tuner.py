from __future__ import annotations

import numpy as np
import pytest

from slicebank_worker.engine.tuner import BatchTuner

SIZES = (2, 4, 8, 16, 32)


def settle(tuner: BatchTuner, seconds_per_row: dict[int, float], noise: float = 0.0) -> int:
    generator = np.random.default_rng(0)
    for _ in range(200):
        if tuner.settled:
            break
        rows = tuner.rows
        tuner.record(rows, rows * seconds_per_row[rows] * (1 + noise * generator.random()))
    assert tuner.settled
    return tuner.rows


@pytest.mark.parametrize("best", SIZES)
@pytest.mark.parametrize("start", SIZES)
def test_the_fastest_size_is_found_from_anywhere(best: int, start: int) -> None:
    speed = {size: 1.2 ** abs(SIZES.index(size) - SIZES.index(best)) for size in SIZES}
    assert settle(BatchTuner(SIZES, start), speed) == best


def test_noise_does_not_move_a_size_that_makes_no_difference() -> None:
    assert settle(BatchTuner(SIZES, 8), dict.fromkeys(SIZES, 1.0), noise=0.05) == 8


def test_one_slow_batch_decides_nothing() -> None:
    tuner = BatchTuner((8, 16), 8)
    for seconds in (1.0, 1.0, 50.0, 1.0, 1.0, 1.0):
        tuner.record(8, seconds)
    for _ in range(6):
        tuner.record(16, 2.2)
    assert tuner.settled
    assert tuner.rows == 8


def test_smaller_batches_than_asked_for_are_not_counted() -> None:
    tuner = BatchTuner((8, 16), 8)
    for _ in range(100):
        tuner.record(7, 0.001)
    assert tuner.rows == 8
    assert not tuner.settled


def test_one_size_stays() -> None:
    assert settle(BatchTuner((5,), 5), {5: 1.0}) == 5


def test_a_size_that_did_not_fit_is_never_tried_again() -> None:
    tuner = BatchTuner(SIZES, 16)
    tuner.limit(8)
    assert tuner.rows == 8
    speed = {size: 1.0 / size for size in SIZES}
    assert settle(tuner, speed) == 8
    tuner.limit(16)
    assert tuner.rows == 8


def test_a_limit_below_the_ladder_becomes_the_size() -> None:
    tuner = BatchTuner((32, 64), 64)
    tuner.limit(5)
    assert tuner.rows == 5
    tuner.limit(0)
    assert tuner.rows == 1
