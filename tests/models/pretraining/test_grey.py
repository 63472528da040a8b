from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as T

from slicebank_imaging.windows import NAMED, render_gray8
from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining import grey
from tests.models.pretraining.view_batches import random_slices

WINDOWS = {"abdomen": (-175.0, 275.0), "lung": (-1500.0, 500.0)}


def pictures(count: int = 3, size: int = 48) -> Tensor:
    return 255 * torch.rand((count, size, size), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", ["abdomen", "lung"])
def test_rounded_grey_levels_are_those_of_embedding(name: str) -> None:
    hu = torch.arange(-2048, 3072, dtype=torch.int16)[: 71 * 71].view(1, 71, 71)
    bounds = grey.window_bounds([name], {key: (window.low, window.high) for key, window in NAMED.items()})

    levels = grey.window_grey(hu, bounds)

    exact = 255 * np.clip((hu.double().numpy() - NAMED[name].low) / (NAMED[name].high - NAMED[name].low), 0, 1)
    np.testing.assert_allclose(levels.numpy(), exact, atol=1e-4)
    assert np.abs(levels.numpy() - render_gray8(hu.numpy(), NAMED[name]).astype(float)).max() <= 0.5 + 1e-4
    assert (levels.min(), levels.max()) == (0, 255)


def test_each_slice_has_its_own_window_and_hu_stay_as_they_were() -> None:
    hu = random_slices(2, 16)
    before = hu.clone()
    bounds = grey.window_bounds(["lung", "abdomen"], WINDOWS)

    levels = grey.window_grey(hu, bounds)

    assert torch.equal(hu, before)
    for place in range(2):
        assert torch.equal(levels[place], grey.window_grey(hu[place : place + 1], bounds[place : place + 1])[0])
    floats = hu.float()
    grey.window_grey(floats, bounds)
    assert torch.equal(floats, before.float())


def test_bounds_come_in_the_order_named() -> None:
    assert grey.window_bounds(["lung", "abdomen"], WINDOWS).tolist() == [[-1500, 500], [-175, 275]]


def test_a_window_that_is_none_is_named() -> None:
    with pytest.raises(
        BadPretrainingSetting, match=r"views.windows: there is no window 'lungs'; there are abdomen, lung"
    ):
        grey.window_bounds(["lungs"], WINDOWS)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_blur_is_torchvisions_with_a_long_kernel(sigma: float) -> None:
    views = pictures()

    blurred = grey.blur(views, torch.full((3,), sigma))

    expected = T.gaussian_blur(views, [93, 93], [sigma, sigma])
    torch.testing.assert_close(blurred, expected, atol=2e-3, rtol=0)


def test_each_view_has_its_own_blur_and_grey_is_kept() -> None:
    views = pictures()
    sigma = torch.tensor([0.3, 1.5, 40.0])

    blurred = grey.blur(views, sigma)

    for place in range(3):
        torch.testing.assert_close(blurred[place], grey.blur(views[place : place + 1], sigma[place : place + 1])[0])
    torch.testing.assert_close(
        grey.blur(torch.full((1, 32, 32), 77.0), torch.tensor([3.0])), torch.full((1, 32, 32), 77.0)
    )
    assert blurred[1].std() < blurred[0].std() < views[0].std()


def test_brightness_and_contrast_are_torchvisions_where_nothing_clips() -> None:
    views = 60 + pictures() * 0.4
    brightness, contrast = torch.tensor([1.3, 0.6, 1.0]), torch.tensor([0.7, 1.4, 1.0])

    changed = grey.jitter(views, brightness, contrast)

    for place in range(3):
        picture = views[place : place + 1] / 255
        expected = T.adjust_contrast(T.adjust_brightness(picture, float(brightness[place])), float(contrast[place]))
        torch.testing.assert_close(changed[place], 255 * expected[0], atol=1e-3, rtol=0)
    assert torch.equal(changed[2], views[2])


def test_grey_levels_stay_within_black_and_white() -> None:
    changed = grey.jitter(pictures(), torch.tensor([1.4, 1.4, 0.6]), torch.tensor([1.4, 0.6, 1.4]))

    assert changed.min() == 0
    assert changed.max() == 255


def test_solarising_inverts_the_upper_half_of_the_views_chosen() -> None:
    views = torch.tensor([0.0, 100.0, 127.5, 127.6, 200.0, 255.0]).expand(2, 1, 6)

    inverted = grey.solarise(views, torch.tensor([True, False]))

    torch.testing.assert_close(inverted[0, 0], torch.tensor([0.0, 100.0, 127.5, 127.4, 55.0, 0.0]))
    assert torch.equal(inverted[1], views[1])


def test_solarising_rounded_levels_is_torchvisions() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)

    inverted = grey.solarise(levels.float(), torch.tensor([True]))

    assert torch.equal(inverted.to(torch.uint8), T.solarize(levels, 128))
