from __future__ import annotations

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_store.bags import BagHeader, BagWriter, SkippedSlice, read_bag
from slicebank_store.errors import BadBag
from slicebank_store.types import BagLevel

from ..builders import RECIPE, stack_of
from .builders import DIM, header_of, rows_of, write


def test_layout_is_the_one_that_foreign_readers_take(tmp_path: Path) -> None:
    file, rows = write(tmp_path / "bag.partial", 70)
    with h5py.File(file.path) as h5:
        assert h5["feats"].dtype == np.float32
        assert h5["feats"].shape == (140, DIM)
        assert h5["feats"].chunks == (64, DIM)
        assert h5["feats"].compression is None
        np.testing.assert_array_equal(h5["feats"][...], rows.reshape(140, DIM))
        assert h5["features"] == h5["feats"], "one object under two names"
        assert h5["coords"].dtype == np.float32
        assert h5["coords"].shape == (140, 2)
        np.testing.assert_allclose(h5["coords"][::2, 0], [(-10 + 2.5 * i) * 1000 for i in range(70)])
        np.testing.assert_array_equal(h5["coords"][::2, 0], h5["coords"][1::2, 0])
        assert not h5["coords"][:, 1].any()
        assert dict(h5["feats"].attrs) == {"name": "b" * 32, "encoder": "dummy", "savetodir": ""}
        assert dict(h5["coords"].attrs) == {
            "patch_size": 224,
            "patch_size_level0": 512,
            "level0_magnification": 1,
            "target_magnification": 1,
            "overlap": 0,
            "name": "b" * 32,
            "savetodir": "",
            "level0_width": 480,
            "level0_height": 512,
            "patch_level": 0,
        }
        root = dict(h5.attrs)
    assert "encoder" not in root
    assert "stamp_version" not in root
    foreign = {name: root[name] for name in ("feat_type", "unit", "tile_size_um", "tile_size_px", "extractor")}
    assert foreign == {
        "feat_type": "tile",
        "unit": "um",
        "tile_size_um": 400_500.0,
        "tile_size_px": 224,
        "extractor": "dummy",
    }


def test_small_bags_have_small_chunks(tmp_path: Path) -> None:
    write(tmp_path / "bag", 3)
    with h5py.File(tmp_path / "bag") as h5:
        assert h5["feats"].chunks == (6, DIM)


def test_slicebank_attributes(tmp_path: Path) -> None:
    write(tmp_path / "bag", 2)
    with h5py.File(tmp_path / "bag") as h5:
        root = dict(h5.attrs)
    assert root["slicebank_format"] == 1
    assert root["level"] == "slice"
    assert json.loads(root["recipe"]) == RECIPE.as_dict()
    assert root["recipe_digest"] == RECIPE.digest
    assert root["weights_digest"] == RECIPE.weights_digest
    assert root["content_digest"] == "c" * 64
    assert (root["series_uid"], root["revision"], root["stack"]) == ("1.2.3", 1, 0)
    assert json.loads(root["windows"])[1] == {"name": "lung", "low": -1500.0, "high": 500.0}
    assert json.loads(root["geometry"]) == {"n_slices": 2}
    assert json.loads(root["rescale"]) == {"slope": 1.0}
    assert json.loads(root["numerics"]) == {"device": "cpu", "dtype": "float32"}
    assert root["software"] == "slicebank 0"
    assert root["created_at"] == "2023-11-14T22:13:20.250+00:00"


def test_checksum_and_size_are_of_the_file(tmp_path: Path) -> None:
    file, _ = write(tmp_path / "bag", 3)
    data = file.path.read_bytes()
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert file.size_bytes == len(data)
    assert (file.n_rows, file.n_slices, file.skipped) == (6, 3, ())


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n_slices=st.integers(1, 9), n_windows=st.integers(1, 3))
def test_rows_of_the_slices_that_are_left(
    data: st.DataObject, n_slices: int, n_windows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n_windows = min(n_windows, 2)
    skipped = tuple(sorted(data.draw(st.sets(st.integers(0, n_slices - 1), max_size=n_slices - 1))))
    path = tmp_path_factory.mktemp("bags") / "bag"
    file, rows = write(path, n_slices, skipped=skipped, n_windows=n_windows)
    expected = [
        (index, window, rows[index, window])
        for index in range(n_slices)
        if index not in skipped
        for window in range(n_windows)
    ]
    bag = read_bag(path)
    assert bag.slice_index.tolist() == [index for index, _, _ in expected]
    assert bag.window_index.tolist() == [window for _, window, _ in expected]
    np.testing.assert_array_equal(bag.features, [row for _, _, row in expected])
    assert bag.slice_numbers.tolist() == [index for index in range(n_slices) if index not in skipped]
    assert bag.sop_instance_uid == tuple(f"1.2.{index}" for index in bag.slice_numbers)
    assert file.n_slices == len(bag.slice_numbers)
    assert [item["slice_index"] for item in bag.attrs["skipped"]] == list(skipped)
    if not skipped:
        for index in range(n_slices):
            for window in range(n_windows):
                np.testing.assert_array_equal(bag.features[index * n_windows + window], rows[index, window])


def test_scan_level_bag(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", header_of(5, level=BagLevel.SCAN), n_slices=5, n_windows=1, dim=DIM)
    writer.write_rows(0, rows_of(1, 1))
    file = writer.close({}, [SkippedSlice(4, "1.2.4", "truncated")])
    bag = read_bag(file.path)
    assert bag.level is BagLevel.SCAN
    assert bag.features.shape == (1, DIM)
    assert (bag.slice_index.tolist(), bag.window_index.tolist()) == ([-1], [-1])
    # The centre of slices at -10 .. -2.5 mm.
    assert bag.coords.tolist() == [[-6250.0, 0.0]]
    assert len(bag.z_mm) == len(bag.sop_instance_uid) == file.n_slices == 4


def test_what_decoding_found_out_replaces_the_rescale(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", header_of(1), n_slices=1, n_windows=2, dim=DIM)
    writer.write_rows(0, rows_of(1))
    writer.close({}, rescale={"padding_pixels": 7})
    assert read_bag(tmp_path / "bag").attrs["rescale"] == {"padding_pixels": 7}


def test_large_attributes_fit(tmp_path: Path) -> None:
    # HDF5 refuses attributes above 64 KiB unless they are variable-length strings.
    writer = BagWriter(tmp_path / "bag", header_of(1), n_slices=1, n_windows=2, dim=DIM)
    writer.write_rows(0, rows_of(1))
    gaps = [{"after_slice": index, "spacing_mm": 2.5} for index in range(5000)]
    writer.close({"gaps": gaps})
    assert read_bag(tmp_path / "bag").attrs["numerics"] == {"gaps": gaps}


def test_header_from_a_manifest() -> None:
    stack = stack_of(range(2))
    manifest = {
        "series_uid": "1.2.3",
        "revision": 2,
        "stack": 0,
        "content_digest": stack.content_digest,
        "slices": stack.slices,
        "geometry": stack.geometry,
        "rescale": stack.rescale,
        "rows": 512,
        "columns": 512,
        "field_of_view_mm": 400.0,
    }
    header = BagHeader.from_manifest(
        manifest, name="n", level=BagLevel.SLICE, recipe=RECIPE, software="s", created_at=0.0, rescale={}
    )
    assert [(item.z_mm, item.instance_number, item.sop_instance_uid) for item in header.slices] == [
        (0.0, 1, "1.2.0"),
        (2.5, 2, "1.2.1"),
    ]
    assert (header.revision, header.rescale) == (2, {})


def test_what_cannot_make_a_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBag, match=r"\.h5"):
        BagWriter(tmp_path / "bag.h5", header_of(2), n_slices=2, n_windows=2, dim=DIM)
    with pytest.raises(BadBag, match="header"):
        BagWriter(tmp_path / "bag", header_of(2), n_slices=3, n_windows=2, dim=DIM)
    writer = BagWriter(tmp_path / "bag", header_of(2), n_slices=2, n_windows=2, dim=DIM)
    with pytest.raises(BadBag, match="do not fit"):
        writer.write_rows(3, rows_of(1))
    with pytest.raises(BadBag, match="do not fit"):
        writer.write_rows(-1, rows_of(1))
    with pytest.raises(BadBag, match="2 windows"):
        writer.append_slice(0, rows_of(1)[:1])
    with pytest.raises(BadBag, match="NaN"):
        writer.write_rows(0, np.full((2, DIM), np.nan, np.float32))
    writer.append_slice(0, rows_of(1))
    with pytest.raises(BadBag, match="before"):
        writer.write_rows(0, rows_of(1))
    with pytest.raises(BadBag, match="Slice 1"):
        writer.close({})
    with pytest.raises(BadBag, match="Slice 0"):
        writer.close({}, [SkippedSlice(0, "", ""), SkippedSlice(1, "", "")][:1])
    assert not (tmp_path / "bag").exists()


def test_a_bag_without_slices_is_none(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", header_of(1), n_slices=1, n_windows=2, dim=DIM)
    with pytest.raises(BadBag, match="No slice"):
        writer.close({}, [SkippedSlice(0, "", "")])
