"""The CPU's encoder computes on the threads that it was given, and leaves the thread as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.engine.host import HostEncoder


class Watched(FrozenEncoder):
    """Notes on how many threads it computes."""

    threads = 0

    def encode(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.threads = torch.get_num_threads()
        return super().encode(rows)


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_threads_are_lent_for_a_batch(threads: int | None) -> None:
    card = EncoderRegistry().get("dummy")
    frozen = Watched(card, load_encoder(card))
    usual = torch.get_num_threads()
    rows = np.zeros((1, 64, 64), np.uint8)
    batch = HostEncoder(frozen, threads).launch([rows])()
    assert batch.features.shape == (1, 16)
    assert frozen.threads == (threads or usual)
    assert torch.get_num_threads() == usual


def test_one_parcel_is_not_copied_and_several_are_joined() -> None:
    card = EncoderRegistry().get("dummy")
    frozen = FrozenEncoder(card, load_encoder(card))
    rows = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    host = HostEncoder(frozen)
    apart = host.launch([rows[:1], rows[1:]])().features
    np.testing.assert_allclose(apart, host.launch([rows])().features, atol=1e-6)
