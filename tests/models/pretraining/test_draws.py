from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from slicebank_models.pretraining.draws import ViewDraws, draw_views
from slicebank_models.pretraining.spec import ViewSettings

MANY = 40_000


@pytest.fixture(scope="module")
def paper() -> ViewDraws:
    return draw_views(ViewSettings(), MANY, seed=1, step=2)


def as_dict(draws: ViewDraws) -> dict[str, Tensor]:
    return {entry.name: getattr(draws, entry.name) for entry in fields(draws)}


def changed(a: ViewDraws, b: ViewDraws) -> set[str]:
    return {name for name, value in as_dict(a).items() if not torch.equal(value, as_dict(b)[name])}


def uniformity(values: Tensor, low: float, high: float) -> float:
    """Kolmogorov's distance from the uniform distribution times sqrt(n); above 1.95 once in 1000."""
    ordered = (np.sort(values.double().numpy()) - low) / (high - low)
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 1 + 1e-6
    grid = np.arange(1, len(ordered) + 1) / len(ordered)
    return float(
        np.sqrt(len(ordered)) * max(np.abs(grid - ordered).max(), np.abs(grid - 1 / len(ordered) - ordered).max())
    )


def share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


def test_parts_are_bit_equal_however_the_batch_is_split() -> None:
    whole = draw_views(ViewSettings(), 12, seed=3, step=4)

    for processes in (1, 2, 3, 4):
        own = 12 // processes
        parts = [whole.part(rank * own, (rank + 1) * own) for rank in range(processes)]
        assert all(len(part) == own for part in parts)
        for name, value in as_dict(whole).items():
            assert torch.equal(torch.cat([as_dict(part)[name] for part in parts]), value), name


def test_a_slices_draws_do_not_depend_on_the_size_of_the_batch() -> None:
    few, many = draw_views(ViewSettings(), 7, seed=3, step=4), draw_views(ViewSettings(), 64, seed=3, step=4)

    assert changed(few, many.part(0, 7)) == set()


def test_the_same_seed_and_step_give_the_same_draws_whatever_else_was_drawn() -> None:
    first = draw_views(ViewSettings(), 9, seed=3, step=4)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global state must not matter
    draw_views(ViewSettings(), 5, seed=8, step=1)

    assert changed(first, draw_views(ViewSettings(), 9, seed=3, step=4)) == set()


@pytest.mark.parametrize(("seed", "step"), [(3, 5), (4, 4), (4, 3), (0, 0)])
def test_another_seed_or_step_changes_every_draw(seed: int, step: int) -> None:
    a, b = (draw_views(ViewSettings(), 64, seed=s, step=t) for s, t in ((3, 4), (seed, step)))

    assert changed(a, b) == {entry.name for entry in fields(ViewDraws)}


def test_seed_and_step_are_not_confused() -> None:
    """(1, 2) is no shifted (2, 1), nor does one step continue the last."""
    a, b = (draw_views(ViewSettings(), 500, seed=s, step=t).box.numpy() for s, t in ((1, 2), (2, 1)))

    assert not np.intersect1d(a, b).size
    assert not np.intersect1d(a, draw_views(ViewSettings(), 500, seed=1, step=3).box.numpy()).size


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"flip": 0.0}, {"flip"}),
        ({"jitter": 0.0}, {"brightness", "contrast"}),
        ({"brightness": 0.0}, {"brightness"}),
        ({"contrast": 0.0}, {"contrast"}),
        ({"blur": (0.0, 0.0)}, {"sigma"}),
        ({"solarise": (0.0, 0.0)}, {"solarise"}),
        ({"crop_ratio": 1.0}, {"crop"}),
        ({"crop_min": 0.5}, {"crop", "lesion_size"}),
        ({"windows": ("lung",)}, {"window"}),
        ({"same_window": True}, {"window"}),
    ],
)
def test_one_setting_leaves_the_draws_of_all_others_as_they_were(change: dict[str, object], touched: set[str]) -> None:
    before, after = (draw_views(s, 64, seed=0, step=0) for s in (ViewSettings(), replace(ViewSettings(), **change)))  # type: ignore[arg-type]

    assert changed(before, after) == touched


def test_probability_0_switches_off() -> None:
    off = ViewSettings(crop_min=1.0, flip=0.0, jitter=0.0, blur=(0.0, 0.0), solarise=(0.0, 0.0))
    draws = draw_views(off, 200, seed=0, step=0)

    assert not draws.flip.any()
    assert not draws.solarise.any()
    assert (draws.brightness == 1).all()
    assert (draws.contrast == 1).all()
    assert (draws.sigma == 0).all()
    assert (draws.crop == torch.tensor([0.0, 0.0, 1.0, 1.0])).all()
    assert (draws.lesion_size == 1).all()


def test_probability_1_always_switches_on() -> None:
    draws = draw_views(ViewSettings(flip=1.0, jitter=1.0, blur=(1.0, 1.0), solarise=(1.0, 1.0)), 500, seed=0, step=0)

    assert draws.flip.all()
    assert draws.solarise.all()
    assert (draws.sigma > 0).all()
    assert (draws.brightness != 1).all()


def test_probabilities_are_those_of_each_view(paper: ViewDraws) -> None:
    for view, (blur, solarise) in enumerate([(1.0, 0.0), (0.1, 0.2)]):
        assert share(paper.sigma[:, view] > 0) == pytest.approx(blur, abs=0.008)
        assert share(paper.solarise[:, view]) == pytest.approx(solarise, abs=0.008)
        assert share(paper.flip[:, view]) == pytest.approx(0.5, abs=0.01)
        assert share(paper.brightness[:, view] != 1) == pytest.approx(0.8, abs=0.008)
        assert torch.equal(paper.brightness[:, view] != 1, paper.contrast[:, view] != 1)
    assert share(paper.flip[:, 0] == paper.flip[:, 1]) == pytest.approx(0.5, abs=0.01)


def test_ranges_are_filled_evenly(paper: ViewDraws) -> None:
    jittered = paper.brightness[:, 0] != 1

    assert uniformity(paper.brightness[jittered, 0], 0.6, 1.4) < 1.95
    assert uniformity(paper.contrast[jittered, 0], 0.6, 1.4) < 1.95
    assert uniformity(paper.sigma[:, 0], 0.1, 2.0) < 1.95
    assert uniformity(paper.box, 0.0, 1.0) < 1.95
    assert uniformity(paper.lesion_size[:, 0], math.sqrt(0.08), 1.0) < 1.95
    assert uniformity(paper.lesion_size[:, 1], math.sqrt(0.08), 1.0) < 1.95


def test_draws_of_one_slice_are_independent(paper: ViewDraws) -> None:
    columns = [
        *paper.window.double().T,
        *paper.crop[:, :, 0].double().T,
        *(paper.crop[:, :, 2] - paper.crop[:, :, 0]).double().T,
        *paper.flip.double().T,
        *paper.brightness.double().T,
        *paper.contrast.double().T,
        paper.sigma[:, 0].double(),
        paper.solarise[:, 1].double(),
        paper.box.double(),
        *paper.lesion_size.double().T,
    ]
    correlation = torch.corrcoef(torch.stack(columns))
    # Height and place of one crop depend on each other.
    for view in range(2):
        correlation[2 + view, 4 + view] = correlation[4 + view, 2 + view] = 0
    correlation.fill_diagonal_(0)

    assert correlation.abs().max() < 4.5 / math.sqrt(MANY)


def test_windows_are_drawn_evenly_and_apart_for_each_view(paper: ViewDraws) -> None:
    pairs = paper.window[:, 0] * 2 + paper.window[:, 1]

    assert torch.bincount(pairs, minlength=4).double().div(MANY).tolist() == pytest.approx([0.25] * 4, abs=0.01)


def test_one_window_for_both_views_where_tied() -> None:
    window = draw_views(ViewSettings(windows=("a", "b", "c"), same_window=True), 3000, seed=0, step=0).window

    assert torch.equal(window[:, 0], window[:, 1])
    assert torch.bincount(window[:, 0], minlength=3).double().div(3000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize(("crop_min", "crop_ratio"), [(0.08, 4 / 3), (0.6, 3.0)])
def test_crops_are_distributed_as_torchvisions(crop_min: float, crop_ratio: float) -> None:
    """Two-sample Kolmogorov-Smirnov on place, height and width; large pictures make torchvision's rounding small."""
    count, side = 4000, 100_000
    picture = torch.empty(1).expand(1, side, side)
    torch.manual_seed(0)
    theirs = np.array(
        [
            RandomResizedCrop.get_params(picture, [crop_min, 1.0], [1 / crop_ratio, crop_ratio])  # type: ignore[arg-type]
            for _ in range(count)
        ]
    )
    crop = draw_views(ViewSettings(crop_min=crop_min, crop_ratio=crop_ratio), count, seed=0, step=0).crop[:, 0]
    ours = torch.stack([crop[:, 0], crop[:, 1], crop[:, 2] - crop[:, 0], crop[:, 3] - crop[:, 1]], dim=1).numpy()

    for column in range(4):
        a, b = np.sort(theirs[:, column] / side), np.sort(ours[:, column])
        points = np.concatenate([a, b])
        distance = np.abs(np.searchsorted(a, points) - np.searchsorted(b, points)).max() / count
        assert distance < 1.95 * math.sqrt(2 / count), column


def test_crops_lie_in_the_slice_with_allowed_area_and_ratio(paper: ViewDraws) -> None:
    crop = paper.crop.double()
    height, width = crop[..., 2] - crop[..., 0], crop[..., 3] - crop[..., 1]

    assert crop.min() >= 0
    assert crop.max() <= 1 + 1e-6
    assert (height * width).min() >= 0.08 - 1e-6
    assert (width / height).max() <= 4 / 3 + 1e-4
    assert (width / height).min() >= 3 / 4 - 1e-4


def test_draws_are_small_exact_types(paper: ViewDraws) -> None:
    assert {name: str(value.dtype) for name, value in as_dict(paper).items()} == {
        "window": "torch.int64",
        "crop": "torch.float32",
        "flip": "torch.bool",
        "brightness": "torch.float32",
        "contrast": "torch.float32",
        "sigma": "torch.float32",
        "solarise": "torch.bool",
        "box": "torch.float32",
        "lesion_size": "torch.float32",
    }
    assert len(paper) == MANY
