"""The sleeping encoder: what `dummy` says of each row, whatever the batch, after a sleep for every row."""

from __future__ import annotations

import numpy as np
import pytest

from slicebank_models.encoders import sleep
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry


def opened(encoder_id: str) -> FrozenEncoder:
    card = EncoderRegistry().get(encoder_id)
    return FrozenEncoder(card, load_encoder(card))


def test_it_gives_the_same_bytes_in_every_batch_and_sleeps_for_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(sleep.time, "sleep", slept.append)
    encoder = opened("sleep")
    rows = np.random.default_rng(0).integers(0, 256, (37, 64, 64), dtype=np.uint8)
    together = encoder.encode(rows)
    assert slept == [sleep.SECONDS_A_ROW] * 37
    for size in (1, 2, 5, 16):
        parts = [encoder.encode(rows[start : start + size]) for start in range(0, 37, size)]
        assert np.concatenate(parts).tobytes() == together.tobytes()
    np.testing.assert_allclose(together, opened("dummy").encode(rows), rtol=1e-5, atol=1e-6)


def test_its_card_says_how_long_it_sleeps() -> None:
    card = EncoderRegistry().get("sleep")
    assert f"{sleep.SECONDS_A_ROW:g} s a row" in card.description
    assert not card.trained
