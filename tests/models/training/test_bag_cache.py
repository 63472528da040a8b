from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from slicebank_models.errors import DimensionMismatch
from slicebank_models.training.bag_cache import open_cohort

DIM = 6


class Bags:
    def __init__(self, lengths: list[int], offset: float = 0.0) -> None:
        generator = np.random.default_rng(2)
        self.bags = [generator.normal(offset, 1, (length, DIM)).astype(np.float32) for length in lengths]
        self.asked: list[int] = []

    def features(self, index: int) -> np.ndarray:
        self.asked.append(index)
        return self.bags[index]


def test_every_bag_is_read_once_and_given_back_as_it_is() -> None:
    bags = Bags([3, 1, 8, 2, 5, 4, 9])
    order = [6, 2, 2, 0, 1, 5, 4, 3, 6]
    with open_cohort(bags, order, DIM) as cache:
        assert bags.asked == [6, 2, 0, 1, 5, 4, 3]
        for index, bag in enumerate(bags.bags):
            np.testing.assert_array_equal(cache.features(index), bag)
            assert not cache.features(index).flags.owndata
        everything = np.concatenate([bag[::8] for bag in bags.bags])
        np.testing.assert_allclose(cache.mean, everything.mean(axis=0), atol=1e-6)
        digests = [cache.digest(index) for index in range(7)]
        assert digests == [hashlib.sha256(bag.tobytes()).hexdigest() for bag in bags.bags]


def test_bags_are_expected_once_each_and_before_they_are_read() -> None:
    class Expecting(Bags):
        def expect(self, index: int) -> None:
            self.asked.append(-1 - index)

    bags = Expecting([2] * 7)
    with open_cohort(bags, range(7), DIM):
        assert bags.asked == [-1, -2, -3, -4, -5, 0, -6, 1, -7, 2, 3, 4, 5, 6]


def test_it_says_how_far_rows_lie_from_zero() -> None:
    for offset in (0.0, 5.0, 100.0):
        with open_cohort(Bags([3200], offset), [0], DIM) as cache:
            assert cache.distance == pytest.approx(offset, abs=0.15, rel=0.1)
    bags = Bags([4])
    bags.bags[0][:] = 2.0
    with open_cohort(bags, [0], DIM) as cache:
        assert cache.distance == np.inf


def test_the_file_is_gone_afterwards_and_never_has_a_name(tmp_path: Path) -> None:
    with open_cohort(Bags([3, 4]), [0, 1], DIM, tmp_path):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError), open_cohort(Bags([3]), [0], DIM, tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize(
    "bag",
    [np.zeros((0, DIM)), np.zeros((3, DIM - 1)), np.zeros(DIM), np.full((2, DIM), np.nan), np.full((2, DIM), -np.inf)],
)
def test_bags_that_do_not_fit_are_named(bag: np.ndarray) -> None:
    bags = Bags([3] * 9)
    bags.bags[4] = bag
    with pytest.raises(DimensionMismatch, match="Bag 4"), open_cohort(bags, range(9), DIM):
        pass


def test_a_large_cohort_lies_in_the_file_not_in_memory() -> None:
    """128 MB of rows: what the process holds by itself grows by a fraction of that."""

    class Wide:
        def features(self, index: int) -> np.ndarray:
            return np.full((8192, 256), index, np.float32)

    before = _held_mb()
    with open_cohort(Wide(), range(16), 256) as cache:
        assert float(sum(cache.features(index).sum(dtype=np.float64) for index in range(16))) == 120 * 8192 * 256
        assert _held_mb() - before < 64
        assert cache.rows.nbytes == 128 << 20


def _held_mb() -> float:
    """Memory of the process that no file holds."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024
