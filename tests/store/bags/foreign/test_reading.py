from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from slicebank_store.bags import copy_bag, read_bag
from slicebank_store.bags.foreign import ForeignBag, ForeignLimits, read_foreign, write_foreign
from slicebank_store.bags.foreign.writing import UNKNOWN_TILE_UM
from slicebank_store.external import external_recipe
from slicebank_store.types import BagLevel

from ..builders import header_of, write
from . import makers

Read = Callable[[Path], ForeignBag]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(path: Path, limits: ForeignLimits | None = None) -> ForeignBag:
        folder = tmp_path / f"of-{path.stem}"
        folder.mkdir()
        return read_foreign(path, folder, limits or ForeignLimits())

    return run


@pytest.mark.parametrize("maker", [makers.stamp, makers.trident, makers.clam, makers.checksummed])
def test_known_layouts_give_their_values(read: Read, tmp_path: Path, maker: Callable[[Path], np.ndarray]) -> None:  # type: ignore[type-arg]
    rows = maker(tmp_path / "a.h5")
    bag = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(bag.features, rows)
    np.testing.assert_array_equal(bag.coords, makers.values()[1])
    assert (bag.level, bag.slices, set(bag.slice_index.tolist())) == (BagLevel.SLICE, (), {-1})
    assert bag.tile_size_um == (256.0 if maker in (makers.stamp, makers.checksummed) else None)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", ">f8"])
def test_other_floats_are_cast(read: Read, tmp_path: Path, dtype: str) -> None:
    rows = makers.stamp(tmp_path / "a.h5", dtype=dtype)
    bag = read(tmp_path / "a.h5")
    assert bag.features.dtype == np.float32
    np.testing.assert_array_equal(bag.features, rows)


@pytest.mark.parametrize("shape", [(1, makers.D), (makers.D,)])
def test_the_row_of_a_whole_scan(read: Read, tmp_path: Path, shape: tuple[int, ...]) -> None:
    row = makers.values(n=1)[0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = row.reshape(shape)
        file.attrs["feat_type"] = "patient"
    bag = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(bag.features, row)
    assert (bag.level, bag.coords.tolist()) == (BagLevel.SCAN, [[0, 0]])


def test_our_own_bags_come_back_with_their_slices(read: Read, tmp_path: Path) -> None:
    made, _ = write(tmp_path / "a.part", 5, skipped=(2,))
    copy_bag(made.path, tmp_path / "a.h5", name="a")
    bag = read(tmp_path / "a.h5")
    own = read_bag(made.path)
    np.testing.assert_array_equal(bag.features, own.features)
    np.testing.assert_array_equal(bag.coords, own.coords)
    np.testing.assert_array_equal(bag.slice_index, own.slice_index)
    np.testing.assert_array_equal(bag.slice_number, own.slice_numbers)
    assert tuple(item.sop_instance_uid for item in bag.slices) == own.sop_instance_uid
    assert [item.z_mm for item in bag.slices] == own.z_mm.tolist()
    assert [item.instance_number for item in bag.slices] == [own.instance(int(at)) for at in own.slice_numbers]


@pytest.mark.parametrize("own", [True, False])
def test_what_is_written_is_a_bag_of_ours(read: Read, tmp_path: Path, own: bool) -> None:
    if own:
        copy_bag(write(tmp_path / "b.part", 5, skipped=(2,))[0].path, tmp_path / "a.h5", name="a")
    else:
        makers.trident(tmp_path / "a.h5")
    foreign = read(tmp_path / "a.h5")
    recipe = external_recipe("external:uni2", dim=foreign.features.shape[1], level=foreign.level)
    header = replace(header_of(0), recipe=recipe, slices=foreign.slices, field_of_view_mm=UNKNOWN_TILE_UM / 1000)
    file = write_foreign(tmp_path / "c.part", foreign, header)
    bag = read_bag(file.path)
    assert (file.n_rows, file.n_slices) == (len(foreign.features), len(foreign.slices))
    np.testing.assert_array_equal(bag.features, foreign.features)
    np.testing.assert_array_equal(bag.coords, foreign.coords)
    np.testing.assert_array_equal(bag.slice_numbers, foreign.slice_number)
    assert (bag.windows, set(bag.window_index.tolist())) == ((), {-1})
    # And out again: what another reader, and ours, makes of it is the same.
    copy_bag(file.path, tmp_path / "d.h5", name="d")
    again = read(tmp_path / "d.h5")
    np.testing.assert_array_equal(again.features, foreign.features)
    assert (again.slices, again.level) == (foreign.slices, foreign.level)


def test_equal_values_have_equal_digests_and_others_do_not(read: Read, tmp_path: Path) -> None:
    makers.stamp(tmp_path / "a.h5")
    makers.clam(tmp_path / "b.h5")
    makers.stamp(tmp_path / "c.h5", seed=1)
    digests = [read(tmp_path / f"{name}.h5").digest for name in "abc"]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_large_file_is_copied_block_by_block(read: Read, tmp_path: Path) -> None:
    rows, coords = makers.values(n=40_000, dim=300)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("features", data=rows, chunks=(7_000, 300), compression="lzf")
        file["coords"] = coords
    np.testing.assert_array_equal(read(tmp_path / "a.h5").features, rows)
