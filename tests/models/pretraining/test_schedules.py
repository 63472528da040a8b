"""Schedules against the closed forms of MoCo v3's training script."""

import math
from itertools import pairwise

import pytest

from slicebank_models.pretraining.schedules import encoder_momentum, learning_rate, peak_learning_rate
from slicebank_models.pretraining.spec import OptimiserSettings

PAPER = OptimiserSettings(lr=1e-4, batch_size=1024, epochs=100, warmup_epochs=10, momentum=0.99)


def test_the_rate_grows_with_the_batch() -> None:
    assert peak_learning_rate(PAPER) == pytest.approx(4e-4)


@pytest.mark.parametrize(
    ("epoch", "share"),
    [(0.0, 0.0), (2.5, 0.25), (10.0, 1.0), (32.5, 0.5 * (1 + math.sqrt(0.5))), (55.0, 0.5), (100.0, 0.0)],
)
def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine(epoch: float, share: float) -> None:
    assert learning_rate(PAPER, epoch) == pytest.approx(4e-4 * share, abs=1e-12)


@pytest.mark.parametrize(("warmup", "epoch", "share"), [(0.0, 0.0, 1.0), (0.0, 100.0, 0.0), (100.0, 50.0, 0.5)])
def test_runs_without_warmup_and_runs_of_nothing_else(warmup: float, epoch: float, share: float) -> None:
    settings = OptimiserSettings(epochs=100, warmup_epochs=warmup, batch_size=256, lr=1.0)
    assert learning_rate(settings, epoch) == pytest.approx(share, abs=1e-12)


def test_the_rate_never_jumps_and_never_leaves_its_range() -> None:
    rates = [learning_rate(PAPER, step / 50) for step in range(5001)]
    assert max(abs(b - a) for a, b in pairwise(rates)) < 4e-4 * 0.0021
    assert min(rates) >= 0.0
    assert max(rates) == pytest.approx(4e-4)


@pytest.mark.parametrize(("epoch", "momentum"), [(0.0, 0.99), (50.0, 0.995), (100.0, 1.0), (101.0, 1.0)])
def test_the_momentum_rises_to_one(epoch: float, momentum: float) -> None:
    assert encoder_momentum(PAPER, epoch) == pytest.approx(momentum, abs=1e-12)
