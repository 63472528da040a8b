"""Rows made on the CPU are within one grey level of Pillow's, whatever the slice's shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_imaging.resize import Interpolation, resize_gray8
from slicebank_worker.engine.host_rows import resize_windows

SHAPES = [(512, 512), (400, 512), (512, 301), (224, 224), (100, 64), (33, 77), (225, 224), (1024, 1024), (1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_windows", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [224, 65])
@pytest.mark.parametrize("interpolation", Interpolation)
def test_rows_are_within_one_level_of_pillow(
    shape: tuple[int, int], n_windows: int, size: int, interpolation: Interpolation
) -> None:
    images = np.random.default_rng(7).integers(0, 256, (n_windows, *shape), dtype=np.uint8)
    rows = resize_windows(list(images), size, interpolation)
    assert rows.shape == (n_windows, size, size)
    assert rows.dtype == np.uint8
    assert rows.flags.c_contiguous
    expected = np.stack([resize_gray8(image, size, interpolation) for image in images]).astype(int)
    assert np.abs(rows - expected).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_an_even_picture_stays_even(level: int) -> None:
    assert (resize_windows([np.full((512, 300), level, np.uint8)], 224) == level).all()


def test_a_square_of_the_right_size_is_untouched() -> None:
    image = np.random.default_rng(7).integers(0, 256, (64, 64), dtype=np.uint8)
    np.testing.assert_array_equal(resize_windows([image], 64)[0], image)


@given(
    rows=st.integers(100, 700),
    columns=st.integers(100, 700),
    size=st.integers(32, 224),
    smooth=st.booleans(),
    interpolation=st.sampled_from(Interpolation),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_any_shape_is_within_one_level_of_pillow(
    rows: int, columns: int, size: int, smooth: bool, interpolation: Interpolation, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (2, rows, columns), dtype=np.uint8)
    images = list(np.sort(noise, axis=1) if smooth else noise)
    expected = np.stack([resize_gray8(image, size, interpolation) for image in images]).astype(int)
    assert np.abs(resize_windows(images, size, interpolation) - expected).max() <= 1
