"""Batches: their order, their shares, their contents, and threads that end."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.loader import BatchLoader, order_of_epoch, slices_of_step, steps_per_epoch
from slicebank_models.pretraining.slice_cache import SliceCache
from tests.models.pretraining.tiny_cache import SIDE, tiny_cache

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return tiny_cache(tmp_path_factory.mktemp("caches") / "tiny")


def loader(cache: SliceCache, indices: NDArray[np.int64], share: tuple[int, int], readers: int = 3) -> BatchLoader:
    return BatchLoader(cache, indices, batch_size=10, share=share, seed=5, readers=readers, device=CPU)


@given(n=st.integers(1, 300), seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    order = order_of_epoch(n, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, order_of_epoch(n, seed=seed, epoch=epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [order_of_epoch(50, seed=seed, epoch=epoch).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_an_epoch_has_no_slice_twice_and_leaves_less_than_a_batch() -> None:
    indices = np.arange(100, 147)
    seen = np.concatenate([slices_of_step(indices, 10, seed=3, step=step) for step in range(4, 8)])
    assert len(np.unique(seen)) == 40
    assert set(seen) <= set(indices.tolist())
    assert not np.array_equal(seen[:10], slices_of_step(indices, 10, seed=3, step=0))


def test_too_few_slices_are_told_what_to_do() -> None:
    with pytest.raises(BadPretrainingSetting, match=r"100 slices .* --set optimiser\.batch_size=32"):
        steps_per_epoch(100, 1024)
    assert steps_per_epoch(64, 64) == 1


@pytest.mark.parametrize("readers", [1, 3, 16])
def test_batches_hold_the_slices_of_their_step(cache: SliceCache, readers: int) -> None:
    indices = np.arange(3, 45)
    steps = range(2, 9)
    batches = list(loader(cache, indices, (0, 10), readers).batches(steps))
    assert len(batches) == 7
    for step, batch in zip(steps, batches, strict=True):
        places = slices_of_step(indices, 10, seed=5, step=step)
        assert batch.index.tolist() == places.tolist()
        assert np.array_equal(batch.hu.numpy(), cache.read(places))
        assert batch.hu.dtype == torch.int16
        boxes, counts = cache.box_table(places)
        assert np.array_equal(batch.boxes.numpy(), boxes)
        assert np.array_equal(batch.n_boxes.numpy(), counts)


def test_shares_put_together_are_the_global_batch(cache: SliceCache) -> None:
    indices = np.arange(len(cache))
    (whole,) = loader(cache, indices, (0, 10)).batches([3])
    parts = [next(iter(loader(cache, indices, share).batches([3]))) for share in ((0, 5), (5, 10))]
    assert torch.equal(torch.cat([part.hu for part in parts]), whole.hu)
    assert torch.equal(torch.cat([part.index for part in parts]), whole.index)


class Counting:
    """A reader that keeps what was asked of it, and may fail."""

    side = SIDE

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked = 0
        self._fails_at = fails_at

    def read(self, indices: NDArray[np.int64], out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
        self.asked += 1
        if self.asked == self._fails_at:
            raise OSError("the disk is gone")
        assert out is not None
        out[:] = indices[:, None, None]
        return out

    def box_table(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return np.zeros((len(indices), 0, 4), np.float32), np.zeros(len(indices), np.int64)


def counting_loader(reader: Counting) -> BatchLoader:
    return BatchLoader(reader, np.arange(100), batch_size=10, share=(0, 10), seed=0, readers=1, device=CPU)


def test_no_more_is_read_ahead_than_two_batches() -> None:
    reader = Counting()
    batches = counting_loader(reader).batches(range(1000))
    for taken in range(1, 20):
        next(batches)
        assert reader.asked <= taken + 2
    batches.close()


def test_a_reader_that_fails_is_heard() -> None:
    batches = counting_loader(Counting(fails_at=3)).batches(range(10))
    next(batches)
    next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_threads_end_with_the_iteration() -> None:
    before = threading.active_count()
    batches = counting_loader(Counting()).batches(range(1000))
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_a_cache_is_read_as_it_is(tmp_path: Path) -> None:
    cache = tiny_cache(tmp_path / "again")
    (batch,) = loader(cache, np.arange(10), (0, 10)).batches([0])
    assert sorted(batch.index.tolist()) == list(range(10))
