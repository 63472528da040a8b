"""What a GPU would compute, on the CPU: grey levels exact, resized rows within one level of Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.resize import Interpolation, resize_gray8
from slicebank_imaging.windows import NAMED
from slicebank_worker.engine.device_rows import DeviceRows
from slicebank_worker.engine.parcels import StoredSlice
from slicebank_worker.engine.rows import make_rows

WINDOWS = (NAMED["abdomen"], NAMED["lung"])
CPU = torch.device("cpu")


def slices(
    generator: np.random.Generator,
    shape: tuple[int, int],
    dtype: str,
    size: int,
    count: int = 2,
    interpolation: Interpolation = Interpolation.BILINEAR,
) -> list[StoredSlice]:
    bounds = np.iinfo(dtype)
    noise = generator.integers(max(bounds.min, -1200), min(bounds.max, 3000), (count, *shape), dtype=dtype)
    return [StoredSlice(CTSlice(values, 1.0, -24.0, None), WINDOWS, size, interpolation) for values in noise]


def on_device(items: list[StoredSlice], rows: DeviceRows | None = None) -> np.ndarray:
    bits = "i2" if items[0].ct.stored.dtype.itemsize == 2 else "u1"
    stored = torch.from_numpy(np.stack([item.ct.stored.view(bits) for item in items]))
    return (rows or DeviceRows(CPU)).make(stored, items).numpy()


def difference(items: list[StoredSlice]) -> int:
    expected = np.stack(
        [
            resize_gray8(item.ct.render(window), item.size, item.interpolation)
            for item in items
            for window in item.windows
        ]
    ).astype(int)
    return int(np.abs(on_device(items).astype(int) - expected).max())


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8"])
@pytest.mark.parametrize("shape", [(512, 512), (512, 300), (333, 271), (224, 224), (100, 120), (224, 400)])
@pytest.mark.parametrize("interpolation", Interpolation)
def test_rows_are_within_one_level_of_pillow(shape: tuple[int, int], dtype: str, interpolation: Interpolation) -> None:
    assert difference(slices(np.random.default_rng(1), shape, dtype, 224, interpolation=interpolation)) <= 1


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(8, 64), st.sampled_from(Interpolation), st.integers(0, 2**31)
)
def test_any_matrix_and_size(rows: int, columns: int, size: int, interpolation: Interpolation, seed: int) -> None:
    items = slices(np.random.default_rng(seed), (rows, columns), "int16", size, 1, interpolation)
    assert difference(items) <= 1


@pytest.mark.parametrize("interpolation", Interpolation)
def test_without_a_resize_levels_are_exact(interpolation: Interpolation) -> None:
    assert difference(slices(np.random.default_rng(2), (224, 224), "int16", 224, interpolation=interpolation)) == 0


def test_slices_of_several_series_keep_their_own_slope_and_padding() -> None:
    stored = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    items = [
        StoredSlice(CTSlice(stored, slope, intercept, padding), WINDOWS, 64)
        for slope, intercept, padding in ((1.0, -1024.0, None), (0.5, 0.0, (100, 120)), (1.0, -1024.0, None))
    ]
    assert difference(items) == 0


def test_tables_of_old_series_are_dropped() -> None:
    rows = DeviceRows(CPU)
    stored = np.zeros((8, 8), np.int16)
    for intercept in range(100):
        item = StoredSlice(CTSlice(stored, 1.0, float(intercept), None), WINDOWS, 8)
        np.testing.assert_array_equal(on_device([item], rows), make_rows(item))
    assert len(rows._kept) <= 64
