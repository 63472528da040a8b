from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.pretraining.cropping import lesion_crops, resizing_matrix

SIDE = 512


def matrix_of(start: float, stop: float, side: int, size: int, flip: bool = False) -> Tensor:
    return resizing_matrix(torch.tensor([start]), torch.tensor([stop]), torch.tensor([flip]), side, size)[0]


def weight(pixel: int, centre: float, support: float, start: float, stop: float) -> float:
    inside = max(0.0, min(pixel + 1, stop) - max(pixel, start))
    return max(0.0, 1.0 - abs(pixel + 0.5 - centre) / support) * inside


def reference(start: float, stop: float, side: int, size: int) -> Tensor:
    """The same matrix, float64, one weight at a time."""
    scale = (stop - start) / size
    rows = []
    for place in range(size):
        centre = start + (place + 0.5) * scale
        weights = [weight(pixel, centre, max(scale, 1.0), start, stop) for pixel in range(side)]
        rows.append([value / sum(weights) for value in weights])
    return torch.tensor(rows, dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whole_pixels_are_cut_and_resized_as_torch_does(data: st.DataObject) -> None:
    side, size = data.draw(st.integers(2, 90), "side"), data.draw(st.integers(1, 64), "size")
    edges = []
    for axis in ("rows", "columns"):
        start = data.draw(st.integers(0, side - 1), axis)
        edges.append((start, data.draw(st.integers(start + 1, side), axis)))
    (top, bottom), (left, right) = edges
    flip = data.draw(st.booleans(), "flip")
    picture = 255 * torch.rand((side, side), generator=torch.Generator().manual_seed(side))

    view = matrix_of(top, bottom, side, size) @ picture @ matrix_of(left, right, side, size, flip).mT

    crop = picture[None, None, top:bottom, left:right]
    expected = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)[0, 0]
    torch.testing.assert_close(view, expected.flip(1) if flip else expected, atol=2e-3, rtol=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 60), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1))
def test_fractional_borders_follow_the_slow_reference(side: int, size: int, place: float, share: float) -> None:
    length = 1.0 + share * (side - 1.0)
    start = float(torch.tensor(place * (side - length)))
    stop = float(torch.tensor(start + length))

    matrix = matrix_of(start, stop, side, size)

    torch.testing.assert_close(matrix.double(), reference(start, min(stop, side), side, size), atol=5e-5, rtol=0)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(size))


def test_a_view_changes_continuously_with_its_border() -> None:
    picture = torch.rand(64, generator=torch.Generator().manual_seed(0))
    views = [matrix_of(10 + shift, 50 + shift, 64, 32) @ picture for shift in (0.999, 1.0, 1.001)]

    assert (views[0] - views[1]).abs().max() < 5e-3
    assert (views[2] - views[1]).abs().max() < 5e-3
    assert (matrix_of(10.5, 50.5, 64, 32) @ picture - views[1]).abs().max() > 0.05


def test_pixels_outside_the_crop_have_no_weight() -> None:
    matrix = matrix_of(10.25, 30.75, 64, 16)

    assert (matrix[:, :10] == 0).all()
    assert (matrix[:, 31:] == 0).all()
    assert (matrix[:, [10, 30]].sum(dim=0) > 0).all()


def test_the_whole_axis_at_its_own_size_is_itself() -> None:
    assert torch.equal(matrix_of(0, 32, 32, 32), torch.eye(32))
    assert torch.equal(matrix_of(0, 32, 32, 32, flip=True), torch.eye(32).flip(0))


def test_slices_of_one_batch_have_their_own_crops() -> None:
    starts, stops = torch.tensor([0.0, 3.5, 10.0]), torch.tensor([64.0, 20.0, 42.0])
    flips = torch.tensor([False, True, False])

    together = resizing_matrix(starts, stops, flips, 64, 24)

    for place in range(3):
        alone = matrix_of(float(starts[place]), float(stops[place]), 64, 24, bool(flips[place]))
        torch.testing.assert_close(together[place], alone)


def span(side: int) -> st.SearchStrategy[tuple[float, float]]:
    """Two borders in a slice, the lower first and at least 0.5 px apart."""
    return st.tuples(st.floats(0, side - 0.5, width=32), st.floats(0.5, side, width=32)).map(
        lambda ends: (min(ends[0], side - 0.5), min(side, max(ends[1], ends[0] + 0.5)))
    )


share_of_side = st.floats(math.sqrt(0.08), 1.0, exclude_max=True)


@settings(deadline=None, max_examples=200)
@given(span(SIDE), span(SIDE), share_of_side, share_of_side)
def test_a_lesion_view_holds_the_centre_and_what_fits_of_its_box(
    rows: tuple[float, float], columns: tuple[float, float], height: float, width: float
) -> None:
    boxes = torch.tensor([[[rows[0], columns[0], rows[1], columns[1]]]])

    crop = lesion_crops(boxes, torch.tensor([1]), torch.tensor([0.5]), torch.tensor([[height, width]]), SIDE)[0]

    for axis, ((low, high), share) in enumerate(((rows, height), (columns, width))):
        start, stop = float(crop[axis]), float(crop[2 + axis])
        drawn = share * SIDE
        assert 0 <= start < stop <= SIDE
        assert start - 1e-3 <= (low + high) / 2 <= stop + 1e-3
        assert drawn / 2 - 1e-3 <= stop - start <= drawn + 1e-3
        if high - low <= drawn:
            assert start <= low + 1e-3
            assert high <= stop + 1e-3
        else:
            assert low - 1e-3 <= start
            assert stop <= high + 1e-3


def test_a_crop_away_from_the_border_is_centred_and_as_large_as_drawn() -> None:
    boxes = torch.tensor([[[250.0, 300.0, 270.0, 310.0]]])

    crop = lesion_crops(boxes, torch.tensor([1]), torch.tensor([0.0]), torch.tensor([[0.5, 0.3]]), SIDE)

    torch.testing.assert_close(crop, torch.tensor([[260 - 128, 305 - 76.8, 260 + 128, 305 + 76.8]]))


def test_a_crop_at_the_border_is_clipped_not_moved() -> None:
    boxes = torch.tensor([[[0.0, 492.0, 20.0, 512.0]]])

    crop = lesion_crops(boxes, torch.tensor([1]), torch.tensor([0.0]), torch.tensor([[0.5, 0.5]]), SIDE)

    torch.testing.assert_close(crop, torch.tensor([[0.0, 502 - 128, 10 + 128, 512.0]]))


@pytest.mark.parametrize(
    ("box", "centre"),
    [((-40.0, 100.0, 20.0, 140.0), (10.0, 120.0)), ((500.0, 600.0, 560.0, 700.0), (506.0, 512.0))],
)
def test_a_box_over_the_border_is_clipped_before_its_centre_is_taken(
    box: tuple[float, ...], centre: tuple[float, float]
) -> None:
    crop = lesion_crops(torch.tensor([[box]]), torch.tensor([1]), torch.zeros(1), torch.tensor([[0.5, 0.5]]), SIDE)

    expected = [centre[0] - 128, centre[1] - 128, centre[0] + 128, centre[1] + 128]
    torch.testing.assert_close(crop, torch.tensor([expected]).clamp(0, SIDE))


def test_every_box_of_a_slice_is_drawn_equally_and_padding_never() -> None:
    count = 30_000
    nan = float("nan")
    own = torch.tensor([[100.0, 100, 102, 102], [200, 200, 202, 202], [300, 300, 302, 302], [nan, nan, nan, nan]])
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0))
    uniform[0], uniform[1] = 0.0, 1.0

    crop = lesion_crops(own.expand(count, 4, 4), torch.full((count,), 3), uniform, torch.full((count, 2), 0.1), SIDE)

    centres = ((crop[:, 0] + crop[:, 2]) / 2).round()
    values, counts = centres.unique(return_counts=True)
    assert values.tolist() == [101, 201, 301]
    assert counts.double().div(count).tolist() == pytest.approx([1 / 3] * 3, abs=0.015)


def test_slices_of_one_batch_have_their_own_boxes() -> None:
    boxes = torch.tensor([[[100.0, 100, 110, 120], [0, 0, 0, 0]], [[200.0, 300, 210, 320], [400, 50, 410, 60]]])
    crop = lesion_crops(boxes, torch.tensor([1, 2]), torch.tensor([0.9, 0.9]), torch.full((2, 2), 0.1), SIDE)

    torch.testing.assert_close((crop[:, :2] + crop[:, 2:]) / 2, torch.tensor([[105.0, 110.0], [405.0, 55.0]]))
