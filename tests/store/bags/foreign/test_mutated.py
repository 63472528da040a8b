"""Damaged and forged files by the hundred: each is refused, or gives the values that it had."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slicebank_store.bags import copy_bag
from slicebank_store.bags.foreign import ForeignBag, ForeignLimits
from slicebank_store.bags.foreign.reading import judge
from slicebank_store.errors import BadForeignBag

from ..builders import write
from . import makers

CASES = 160


def mutated(whole: bytes, seed: int) -> bytes:
    """One to eight changes: bytes replaced, bits flipped, stretches cut, doubled, zeroed or set, or numbers made huge."""
    rng = random.Random(seed)
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(data))
        kind = rng.randrange(7)
        length = rng.choice((1, 2, 4, 8, 64))
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at : at + length] = bytes(length)
        elif kind == 3:
            data[at : at + length] = b"\xff" * length
        elif kind == 4:
            data[at : at + 8] = rng.choice((2**31, 2**63 - 1, len(data) - 8, 96, 0)).to_bytes(8, "little")
        elif kind == 5:
            del data[at : at + length]
        else:
            data[at:at] = data[at : at + length]
        if not data:
            return b""
    return bytes(data)


def outcomes(root: Path, whole: bytes, cases: int) -> list[ForeignBag | None]:
    folders = []
    for seed in range(cases):
        folder = root / str(seed)
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(mutated(whole, seed))
        folders.append(folder)
    subprocess.run([sys.executable, "-m", "tests.store.bags.foreign.forks", *map(str, folders)], check=True)
    found: list[ForeignBag | None] = []
    for folder in folders:
        try:
            found.append(judge(int((folder / "status").read_text()), folder, ForeignLimits()))
        except BadForeignBag:
            found.append(None)
    return found


def own(path: Path) -> None:
    copy_bag(write(path.with_suffix(".part"), 6)[0].path, path, name="a")


def test_where_every_byte_has_a_checksum_only_equal_values_are_taken(tmp_path: Path) -> None:
    rows = makers.checksummed(tmp_path / "a.h5")
    found = outcomes(tmp_path / "cases", (tmp_path / "a.h5").read_bytes(), CASES)
    taken = [bag for bag in found if bag is not None]
    assert CASES * 0.02 < len(taken) < CASES * 0.9, (
        "mutations that are all refused, or all without effect, show nothing"
    )
    for bag in taken:
        np.testing.assert_array_equal(bag.features, rows)
        np.testing.assert_array_equal(bag.coords, makers.values()[1])


@pytest.mark.parametrize("maker", [makers.stamp, makers.trident, makers.clam, own])
def test_what_is_taken_of_a_damaged_file_is_a_bag(tmp_path: Path, maker: Callable[[Path], object]) -> None:
    maker(tmp_path / "a.h5")
    found = outcomes(tmp_path / "cases", (tmp_path / "a.h5").read_bytes(), CASES // 4)
    kinds = Counter(bag is None for bag in found)
    assert kinds[True] > 5
    assert kinds[False] > 5
    for bag in found:
        if bag is not None:
            assert bag.features.dtype == np.float32
            assert np.isfinite(bag.features).all()
            assert np.isfinite(bag.coords).all()
            assert bag.coords.shape == (len(bag.features), 2)
            assert len(bag.slice_index) == len(bag.features)
