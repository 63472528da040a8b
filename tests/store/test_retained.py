from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from slicebank_store.errors import BadPixels, SliceNotKept
from slicebank_store.retained import RetainedReader, RetainedWriter


def test_slices_come_back_exactly_in_any_order(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(-2048, 3072, (5, 6, 7)).astype(np.float32)
    writer = RetainedWriter(tmp_path / "pixels", n_slices=5, rows=6, columns=7)
    for index in (3, 0, 4, 1):
        writer.write(index, volume[index])
    assert writer.close() == (tmp_path / "pixels").stat().st_size
    with RetainedReader(tmp_path / "pixels") as reader, ThreadPoolExecutor(4) as threads:
        assert reader.shape == (5, 6, 7)
        assert not reader.rounded
        for index, pixels in zip((3, 0, 4, 1), threads.map(reader.slice, (3, 0, 4, 1)), strict=True):
            assert pixels.dtype == np.int16
            np.testing.assert_array_equal(pixels, volume[index])
        with pytest.raises(SliceNotKept):
            reader.slice(2)
        with pytest.raises(SliceNotKept):
            reader.slice(-1)


def test_fractions_are_rounded_and_extremes_clipped(tmp_path: Path) -> None:
    writer = RetainedWriter(tmp_path / "pixels", n_slices=1, rows=1, columns=4)
    writer.write(0, np.array([[0.5, 1.5, -0.6, 1e9]]))
    writer.close()
    with RetainedReader(tmp_path / "pixels") as reader:
        assert reader.rounded
        assert reader.slice(0).tolist() == [[0, 2, -1, 32767]]


def test_wrong_shapes_and_files_are_refused(tmp_path: Path) -> None:
    writer = RetainedWriter(tmp_path / "pixels", n_slices=1, rows=2, columns=2)
    with pytest.raises(BadPixels):
        writer.write(0, np.zeros((3, 2)))
    with pytest.raises(BadPixels):
        writer.write(1, np.zeros((2, 2)))
    writer.abandon()
    assert not (tmp_path / "pixels").exists()
    (tmp_path / "text").write_text("no HDF5")
    with pytest.raises(BadPixels):
        RetainedReader(tmp_path / "text")
