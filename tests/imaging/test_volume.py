"""Volumes of stacks against the official preprocessing, a slow obvious reference, and what is promised of gaps and lost slices."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.volume import VolumeBuilder
from slicebank_imaging.volume_frame import Convention, StackPlace, VolumeFrame, match_axes
from slicebank_imaging.volume_sampling import sample_axis
from tests.imaging.volume_cases import CASES, MERLIN_CASES, VolumeCase, box, build, probes, read_goldens

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# Of the scaled range. The official code computes in float64, slices here are float32.
MOST_ERROR = 1e-4


def error(case: VolumeCase, volume: NDArray[np.float32]) -> float:
    golden = read_goldens()["cases"][case.name]
    found = volume[probes(golden["box"], case.frame.size)]
    low, high = case.frame.scaled_to
    return float(np.abs(found - np.array(golden["values"])).max() / (high - low))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_volume_is_that_of_the_official_code(case: VolumeCase) -> None:
    golden = read_goldens()["cases"][case.name]
    volume = build(case)
    assert list(volume.shape) == golden["shape"]
    assert box(volume, case.frame.pad) == golden["box"]
    assert error(case, volume) <= MOST_ERROR


@pytest.mark.parametrize("case", MERLIN_CASES, ids=lambda case: case.name)
def test_the_other_convention_is_not_mistaken_for_it(case: VolumeCase) -> None:
    other = replace(case, frame=replace(case.frame, convention=Convention.TORCH_TRILINEAR))
    assert error(case, build(other)) > 100 * MOST_ERROR


def test_a_flipped_axis_is_not_mistaken_for_it() -> None:
    case = MERLIN_CASES[0]
    assert error(case, build(case)[::-1]) > 100 * MOST_ERROR


def plain(spacing: float, size: int, convention: Convention = Convention.MONAI) -> VolumeFrame:
    """Slices, then rows, then columns, as they are stored; HU unscaled."""
    return VolumeFrame(
        "SPL", (spacing, 1.0, 1.0), (size, 3, 2), (-4000.0, 4000.0), (-4000.0, 4000.0), -3000.0, convention
    )


def column(stack: StackPlace, frame: VolumeFrame, levels: list[float | None]) -> NDArray[np.float32]:
    """The volume's values along the slices, of slices that are even in their plane; None was not decoded."""
    builder = VolumeBuilder(stack, frame)
    for index, level in enumerate(levels):
        if level is not None:
            builder.add(index, builder.plane(np.full((stack.rows, stack.columns), level, np.float32)))
    volume = builder.finish()
    np.testing.assert_array_equal(volume, np.broadcast_to(volume[:, :1, :1], volume.shape))
    return volume[:, 0, 0]


def stack_at(*z_mm: float) -> StackPlace:
    return StackPlace(3, 2, (1.0, 1.0), AXIAL, z_mm)


def test_uneven_spacing_is_read_at_real_positions() -> None:
    z_mm = (0.0, 1.0, 3.0, 4.0, 8.0)
    found = column(stack_at(*z_mm), plain(1.0, 9), [10 * z + 5 for z in z_mm])
    np.testing.assert_allclose(found, 10 * np.arange(9) + 5, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.3, 7.0), min_size=1, max_size=30),
    st.floats(0.5, 4.0),
    st.integers(1, 40),
    st.sampled_from(Convention),
    st.integers(0, 2**31),
)
def test_slices_are_interpolated_as_numpy_does(
    steps: list[float], spacing: float, size: int, convention: Convention, seed: int
) -> None:
    z_mm = np.round(np.concatenate([[0.0], np.cumsum(steps)]), 6) - 50
    levels = np.random.default_rng(seed).integers(-1000, 1000, len(z_mm)).astype(float)
    stack, frame = stack_at(*z_mm), plain(spacing, size, convention)
    found = column(stack, frame, list(levels))
    count = max(2, round(stack.extent_mm / (stack.spacing_mm or 1)) + 1)
    even = stack.extent_mm / (count - 1)
    sampling = sample_axis(
        count,
        even if convention is Convention.MONAI else round(even, 4),
        spacing,
        size,
        convention,
        backwards=False,
    )
    expected = np.full(size, -3000.0)
    expected[sampling.first : sampling.first + len(sampling.at)] = np.interp(sampling.at * even + z_mm[0], z_mm, levels)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_lost_slice_is_bridged_and_at_the_ends_the_next_one_stands_for_it() -> None:
    stack, frame = stack_at(0, 1, 2, 3, 4, 5), plain(1.0, 6)
    np.testing.assert_allclose(column(stack, frame, [None, 10, None, None, 40, None]), [10, 10, 20, 30, 40, 40])


def test_a_gap_is_bridged_and_keeps_its_length() -> None:
    stack = stack_at(0, 1, 2, 6, 7)
    for convention in Convention:
        np.testing.assert_allclose(column(stack, plain(1.0, 8, convention), [0, 1, 2, 6, 7]), range(8), atol=1e-5)


def test_an_inferior_axis_reads_from_the_top() -> None:
    frame = replace(plain(2.0, 3), axes="IPL")
    np.testing.assert_allclose(column(stack_at(0, 1, 2, 3, 4, 5), frame, [0, 1, 2, 3, 4, 5]), [5, 3, 1])


@pytest.mark.parametrize("convention", Convention)
def test_one_slice_fills_what_it_can(convention: Convention) -> None:
    single = replace(stack_at(7.0), thickness_mm=5.0)
    found = column(single, plain(1.5, 5, convention), [12])
    inside = 1 if convention is Convention.MONAI else 3  # MONAI reads one voxel of one slice, whatever its thickness
    assert (found == 12).sum() == inside


def test_values_are_clipped_and_scaled() -> None:
    frame = replace(plain(1.0, 3), hu=(-1000.0, 1000.0), scaled_to=(-1.0, 1.0), pad=-1.0)
    np.testing.assert_allclose(column(stack_at(0, 1, 2), frame, [-2048, 250, 3000]), [-1, 0.25, 1])


@pytest.mark.parametrize(
    ("orientation", "axes", "expected"),
    [
        (AXIAL, "LPS", ((2, False), (1, False), (0, False))),
        (AXIAL, "RAS", ((2, False), (1, True), (0, True))),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 0.0), "SPL", ((0, False), (2, False), (1, False))),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "IRA", ((0, True), (2, False), (1, False))),
        # Coronal slices, which a series may hold beside axial ones: rows run down, the normal to the back.
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "RAS", ((1, True), (2, True), (0, True))),
        # 40 degrees off: still nearest to its own axes.
        ((0.766, 0.643, 0.0, -0.643, 0.766, 0.0), "LPS", ((2, False), (1, False), (0, False))),
    ],
)
def test_array_axes_follow_the_patient(
    orientation: tuple[float, float, float, float, float, float], axes: str, expected: object
) -> None:
    assert tuple(tuple(match) for match in match_axes(orientation, axes)) == expected


def test_slices_in_the_wrong_order_or_of_another_matrix_are_refused() -> None:
    builder = VolumeBuilder(stack_at(0, 1, 2), plain(1.0, 3))
    plane = builder.plane(np.zeros((3, 2), np.float32))
    builder.add(1, plane)
    with pytest.raises(ValueError, match="after"):
        builder.add(0, plane)
    with pytest.raises(DecodeFailed, match="4 x 4"):
        builder.plane(np.zeros((4, 4), np.float32))
    with pytest.raises(DecodeFailed, match="no slice"):
        VolumeBuilder(stack_at(0, 1, 2), plain(1.0, 3)).finish()
    with pytest.raises(DecodeFailed, match="rise"):
        stack_at(0, 1, 1)


def test_memory_is_the_volume_and_a_few_slices() -> None:
    side = 256
    frame = VolumeFrame("SPL", (1.0, 2.0, 2.0), (40, 96, 96), (-1000, 1000), (0, 1), 0.0, Convention.MONAI)
    stack = StackPlace(side, side, (1.0, 1.0), AXIAL, tuple(float(z) for z in range(120)))
    slice_bytes, volume_bytes = 4 * side * side, 4 * 40 * 96 * 96
    tracemalloc.start()
    try:
        builder = VolumeBuilder(stack, frame)
        for index in range(len(stack.z_mm)):
            builder.add(index, builder.plane(np.full((side, side), index, np.float32)))
        assert builder.finish().nbytes == volume_bytes
        assert tracemalloc.get_traced_memory()[1] < volume_bytes + 5 * slice_bytes
    finally:
        tracemalloc.stop()
