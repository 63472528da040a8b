import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.pretraining.slice_source import LesionBox
from slicebank_models.pretraining.squaring import PADDING_HU, SMALLEST, clip_box, square_box, square_slice

SHAPES = st.tuples(st.integers(8, 60), st.integers(8, 60))
SIDES = st.integers(16, 64)


def test_a_slice_of_the_right_side_is_untouched() -> None:
    hu = np.arange(32 * 32, dtype=np.int16).reshape(32, 32)
    assert square_slice(hu, 32) is hu


def test_a_slice_that_is_not_square_is_padded_around_its_centre() -> None:
    hu = np.full((4, 8), 50, np.int16)
    square = square_slice(hu, 8)
    assert (square[2:6] == 50).all()
    assert (square[:2] == PADDING_HU).all()
    assert (square[6:] == PADDING_HU).all()


def test_halving_a_side_takes_every_pixel_into_account() -> None:
    """The triangle of width 2 around each output pixel: weights 1/8, 3/8, 3/8, 1/8 away from the borders."""
    hu = np.random.default_rng(0).integers(-1000, 1000, (32, 32)).astype(np.int16)
    half = square_slice(hu, 16).astype(np.float64)
    weights = np.array([1, 3, 3, 1]) / 8
    expected = sum(
        weights[i] * weights[j] * hu[5 + i : 5 + i + 20 : 2, 5 + j : 5 + j + 20 : 2] for i in range(4) for j in range(4)
    )
    np.testing.assert_allclose(half[3:13, 3:13], expected, atol=0.51)


@settings(max_examples=50, deadline=None)
@given(SHAPES, SIDES)
def test_padding_and_resizing_are_even_and_stay_in_the_range(shape: tuple[int, int], side: int) -> None:
    rows, columns = shape
    hu = np.full(shape, 100, np.int16)
    square = square_slice(hu, side)
    assert square.shape == (side, side)
    assert square.dtype == np.int16
    assert square.min() >= PADDING_HU
    assert square.max() <= 100
    if rows % 2 == columns % 2:
        np.testing.assert_array_equal(square, square[::-1, ::-1])


@settings(max_examples=50, deadline=None)
@given(SHAPES, SIDES, st.data())
def test_a_box_stays_around_what_it_is_around(shape: tuple[int, int], side: int, data: st.DataObject) -> None:
    """A bright block's centre of mass, after pad and resize, is the centre of its box."""
    rows, columns = shape
    row, column = data.draw(st.integers(0, rows - 4)), data.draw(st.integers(0, columns - 4))
    height, width = data.draw(st.integers(4, rows - row)), data.draw(st.integers(4, columns - column))
    hu = np.full(shape, PADDING_HU, np.int16)
    hu[row : row + height, column : column + width] = 2000
    weight = square_slice(hu, side).astype(np.float64) - PADDING_HU
    box = square_box(LesionBox(row, column, row + height, column + width), rows, columns, side)
    centres = np.arange(side) + 0.5
    scale = side / max(rows, columns)
    # Filters that a border cuts move the centre by a fraction of what they reach.
    tolerance = 0.35 * max(1.0, scale)
    assert (weight.sum(axis=1) @ centres) / weight.sum() == pytest.approx(
        (box.row_start + box.row_stop) / 2, abs=tolerance
    )
    assert (weight.sum(axis=0) @ centres) / weight.sum() == pytest.approx(
        (box.column_start + box.column_stop) / 2, abs=tolerance
    )
    assert box.row_stop - box.row_start == pytest.approx(height * scale)
    assert box.column_stop - box.column_start == pytest.approx(width * scale)


@settings(max_examples=200, deadline=None)
@given(SHAPES, SIDES, st.tuples(*[st.floats(-100, 160)] * 4))
def test_a_clipped_box_lies_in_the_square_and_is_none_where_nothing_is_left(
    shape: tuple[int, int], side: int, edges: tuple[float, float, float, float]
) -> None:
    rows, columns = shape
    box = LesionBox(*edges)
    clipped = clip_box(box, rows, columns)
    height = min(box.row_stop, rows) - max(box.row_start, 0)
    width = min(box.column_stop, columns) - max(box.column_start, 0)
    empty = min(height, width) < SMALLEST
    assert (clipped is None) == empty
    if clipped is not None:
        square = square_box(clipped, rows, columns, side)
        for start, stop in ((square.row_start, square.row_stop), (square.column_start, square.column_stop)):
            assert 0 <= np.float32(start) < np.float32(stop) <= side


@pytest.mark.parametrize("edge", [float("nan"), float("inf"), -float("inf")])
def test_an_edge_that_is_no_number_makes_no_box(edge: float) -> None:
    assert clip_box(LesionBox(edge, 0, 5, 5), 10, 10) is None
    assert clip_box(LesionBox(0, 0, 5, edge), 10, 10) is None
