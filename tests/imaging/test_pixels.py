from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_enhanced_dicom
from slicebank_imaging.pixels import CTSlice, SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.windows import NAMED, Window
from tests.imaging.making import ct_dataset, group, ramp, write

TYPES = ["int16", "uint16", "uint8", "int32", "uint32"]


def _reference(item: CTSlice, window: Window) -> NDArray[np.uint8]:
    """Pixel by pixel in Python floats, as the formula is written down."""
    gray = np.zeros(item.stored.shape, np.uint8)
    for at, value in np.ndenumerate(item.stored):
        if item.padding is not None and item.padding[0] <= int(value) <= item.padding[1]:
            continue
        hu = int(value) * item.slope + item.intercept
        gray[at] = int(255.0 * min(max((hu - window.low) / (window.high - window.low), 0.0), 1.0) + 0.5)
    return gray


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(TYPES),
    seed=st.integers(0, 99),
    slope=st.sampled_from([1.0, 0.5, 2.0002442, -1.0, 32.1216]),
    intercept=st.sampled_from([0.0, -1024.0, -1000.0, -4047.0]),
    window=st.sampled_from(list(NAMED.values())),
    padding=st.sampled_from([None, (-2000, -2000), (0, 40), (60000, 65535)]),
)
def test_rendering_is_the_formula_exactly(
    kind: str, seed: int, slope: float, intercept: float, window: Window, padding: tuple[int, int] | None
) -> None:
    info = np.iinfo(kind)
    low, high = max(info.min, -3000), min(info.max, 5000)
    stored: NDArray[Any] = np.random.default_rng(seed).integers(low, high, (9, 7), endpoint=True).astype(kind)
    stored[0, 0], stored[0, 1] = info.min, info.max
    item = CTSlice(stored, slope, intercept, padding)
    assert np.array_equal(item.render(window), _reference(item, window))


def test_padding_is_far_below_air_and_black_in_every_window() -> None:
    item = CTSlice(np.array([[-2000, -2500, -1999, 40]], np.int16), 1.0, 0.0, (-3024, -2000))
    hu = item.hounsfield()
    assert hu.dtype == np.float32
    assert hu.tolist() == [[-2048.0, -2048.0, -1999.0, 40.0]]
    assert item.padding_count == 2
    assert item.render(Window("deep", -4000.0, 100.0)).tolist()[0][:2] == [0, 0]
    assert item.render(Window("deep", -4000.0, 100.0))[0, 2] > 0
    assert replace(item, padding=None).padding_count == 0


def test_rescale_is_applied_once() -> None:
    item = CTSlice(np.array([[0, 1000, 4095]], np.uint16), 0.5, -1024.0, None)
    assert item.hounsfield().tolist() == [[-1024.0, -524.0, 1023.5]]


def test_threads_render_the_same() -> None:
    stored = np.random.default_rng(0).integers(-2000, 3000, (64, 64)).astype(np.int16)
    items = [CTSlice(stored, 1.0, float(-number), (-2000, -1990)) for number in range(12)]
    expected = [_reference(item, NAMED["lung"]) for item in items]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            found = list(pool.map(lambda item: item.render(NAMED["lung"]), items))
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_slices_of_a_series_are_loaded_in_order(tmp_path: Path) -> None:
    stack = group(tmp_path, [ct_dataset(n, RescaleIntercept="-10") for n in (3, 1, 2)]).series[0].stacks[0]
    loader = SliceLoader(tmp_path)
    for number, ref in enumerate(stack.slices, start=1):
        assert np.array_equal(loader.load(ref).hounsfield(), ramp() + number - 10)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.80"])
def test_frames_of_one_file_are_loaded_from_many_threads(tmp_path: Path, syntax: str) -> None:
    phantom = make_phantom(PhantomSpec(n_slices=9, size=32, slice_spacing_mm=20))
    write_enhanced_dicom(phantom, tmp_path / "e.dcm", transfer_syntax=syntax)
    loader = SliceLoader(tmp_path)
    refs = [SliceRef("e.dcm", 9 - index, "1", None, 0.0, 1.0, -1024.0, None) for index in range(9)]
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(loader.load, refs * 3))
    for index, item in enumerate(loaded):
        assert np.array_equal(item.hounsfield(), phantom.hu[index % 9])


def test_what_cannot_be_loaded_fails_by_name(tmp_path: Path) -> None:
    write(tmp_path / "x", ct_dataset())
    ref = SliceRef("x", 1, "1.2.3", None, 0.0, 1.0, 0.0, None)
    loader = SliceLoader(tmp_path)
    for bad in (replace(ref, file="gone"), replace(ref, frame_number=2), replace(ref, frame_number=0)):
        with pytest.raises(DecodeFailed):
            loader.load(bad)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-20])
    with pytest.raises(DecodeFailed, match="missing"):
        loader.load(ref)
