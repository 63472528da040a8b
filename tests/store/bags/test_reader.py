from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from slicebank_store.bags import read_ahead, read_bag, read_bag_rows, read_features, read_thumbnails
from slicebank_store.errors import BadBag
from slicebank_store.recipe import Recipe

from ..builders import RECIPE
from .builders import write


def test_everything_comes_back(tmp_path: Path) -> None:
    _, rows = write(tmp_path / "bag", 3)
    bag = read_bag(tmp_path / "bag")
    np.testing.assert_array_equal(bag.features, rows.reshape(6, -1))
    assert bag.features.dtype == np.float32
    assert bag.windows == RECIPE.windows
    assert Recipe.from_dict(bag.attrs["recipe"]) == RECIPE
    assert bag.z_mm.tolist() == [-10.0, -7.5, -5.0]
    assert bag.instance_number.tolist() == [100, -1, 98]
    assert [bag.instance(index) for index in range(3)] == [100, None, 98]
    assert bag.frame_number.tolist() == [1, 1, 1]
    assert bag.attrs["revision"] == 1


def test_slices_are_found_by_their_number(tmp_path: Path) -> None:
    write(tmp_path / "bag", 4, skipped=(1,))
    bag = read_bag(tmp_path / "bag")
    assert [bag.slice_position(index) for index in (0, 2, 3)] == [0, 1, 2]
    for index in (1, 4):
        with pytest.raises(BadBag):
            bag.slice_position(index)


def test_thumbnails_by_slice(tmp_path: Path) -> None:
    write(tmp_path / "bag", 4, skipped=(1,), thumbnails=True)
    assert read_thumbnails(tmp_path / "bag", [3, 0, 1, 9]) == [b"jpeg 3", b"jpeg 0", None, None]
    write(tmp_path / "plain", 2)
    assert read_thumbnails(tmp_path / "plain", [0]) == [None]


def test_broken_bags_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "whole", 3)
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "truncated").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").write_bytes(b"")
    with h5py.File(tmp_path / "foreign", "w") as file:
        file["feats"] = np.zeros((2, 2), np.float32)
    for name in ("truncated", "empty", "foreign"):
        for read in (read_bag, read_bag_rows, read_features):
            with pytest.raises(BadBag):
                read(tmp_path / name)


@pytest.mark.parametrize("dataset", ["coords", "slice_index", "z_mm", "sop_instance_uid"])
def test_datasets_of_differing_length_are_refused(tmp_path: Path, dataset: str) -> None:
    write(tmp_path / "bag", 3)
    with h5py.File(tmp_path / "bag", "r+") as file:
        values = file[dataset][:-1]
        del file[dataset]
        file[dataset] = values
    with pytest.raises(BadBag, match="length"):
        read_bag(tmp_path / "bag")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bag", 1)
    with h5py.File(tmp_path / "bag", "r+") as file:
        file.attrs["slicebank_format"] = 2
    for read in (read_bag, read_bag_rows, read_features):
        with pytest.raises(BadBag, match="format 2"):
            read(tmp_path / "bag")


def test_rows_alone_are_those_of_the_whole_bag(tmp_path: Path) -> None:
    write(tmp_path / "bag", 3, skipped=(1,))
    rows, bag = read_bag_rows(tmp_path / "bag"), read_bag(tmp_path / "bag")
    np.testing.assert_array_equal(rows.features, bag.features)
    read_ahead(tmp_path / "bag")
    read_ahead(tmp_path / "nothing")
    np.testing.assert_array_equal(read_features(tmp_path / "bag"), bag.features)
    np.testing.assert_array_equal(rows.window_index, bag.window_index)
    assert rows.windows == bag.windows
    with h5py.File(tmp_path / "bag", "r+") as file:
        values = file["window_index"][:-1]
        del file["window_index"]
        file["window_index"] = values
    with pytest.raises(BadBag, match="length"):
        read_bag_rows(tmp_path / "bag")


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"chunks": (3, 8)},
        {"chunks": (5, 4)},
        {"chunks": (4, 8), "compression": "gzip"},
        {"dtype": ">f4", "chunks": (3, 8)},
    ],
)
def test_rows_come_back_however_they_are_laid_out(tmp_path: Path, layout: dict[str, object]) -> None:
    write(tmp_path / "bag", 5)
    values = np.random.default_rng(1).normal(size=(10, 8)).astype(np.float32)
    with h5py.File(tmp_path / "bag", "r+") as file:
        del file["feats"]
        file.create_dataset("feats", data=values, **layout)
    found = read_features(tmp_path / "bag")
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(read_bag_rows(tmp_path / "bag").features, values)
