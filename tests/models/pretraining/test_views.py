from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as T

from slicebank_models.pretraining import views as module
from slicebank_models.pretraining.draws import ViewDraws, draw_views
from slicebank_models.pretraining.spec import Method, ViewSettings
from slicebank_models.pretraining.views import render_views, view_crops
from tests.models.pretraining.view_batches import OFF, WIDE, batch_of, random_slices

PAPER = ViewSettings()
WINDOWS = torch.tensor([[-175.0, 275.0], [-1500.0, 500.0]])
SIZE = 32


def both(settings: ViewSettings, hu: Tensor, windows: Tensor = WIDE, size: int = SIZE) -> tuple[Tensor, Tensor]:
    draws = draw_views(settings, len(hu), seed=0, step=0)
    return render_views(batch_of(hu), draws, settings, Method.MOCO, windows, size)


def plain(hu: Tensor, size: int = SIZE, low: float = -1000.0, high: float = 1000.0) -> Tensor:
    """The whole slices in one window at the views' size, by torch's own resize."""
    levels = 255 * ((hu.float() - low) / (high - low)).clamp(0, 1)
    return F.interpolate(levels[:, None], (size, size), mode="bilinear", antialias=True)[:, 0]


def close(view: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(view, expected, atol=5e-3, rtol=0)


def with_whole_pixels(draws: ViewDraws, side: int) -> ViewDraws:
    """The same draws with the borders of crops rounded outwards to pixels of a side that is a power of 2."""
    low, high = draws.crop[..., :2], draws.crop[..., 2:]
    return replace(draws, crop=torch.cat([(low * side).floor(), (high * side).ceil().clamp(max=side)], dim=-1) / side)


def one_by_one(hu: Tensor, draws: ViewDraws, view: int, windows: Tensor, size: int) -> Tensor:
    """Slow reference: every slice alone, by torch and torchvision; crops of whole pixels."""
    made = []
    for place in range(len(hu)):
        low, high = windows[draws.window[place, view]].tolist()
        levels = 255 * ((hu[place].float() - low) / (high - low)).clamp(0, 1)
        top, left, bottom, right = (draws.crop[place, view] * hu.shape[1]).int().tolist()
        crop = levels[None, None, top:bottom, left:right]
        picture = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)[0]
        if draws.flip[place, view]:
            picture = T.hflip(picture)
        sigma = float(draws.sigma[place, view]) * size / 224
        if sigma > 0:
            picture = T.gaussian_blur(picture, [2 * math.ceil(6 * sigma) + 1] * 2, [sigma] * 2)
        bright = picture * draws.brightness[place, view]
        picture = (bright.mean() + (bright - bright.mean()) * draws.contrast[place, view]).clamp(0, 255)
        if draws.solarise[place, view]:
            picture = torch.where(picture > 127.5, 255 - picture, picture)
        made.append(picture[0])
    return torch.stack(made)


@pytest.mark.parametrize("size", [32, 96])
def test_views_are_those_of_the_slow_reference(size: int) -> None:
    hu = random_slices(40, 64)
    chosen = ViewSettings(blur=(1.0, 0.5), blur_sigma=(0.1, 8.0), solarise=(0.3, 0.3))
    draws = with_whole_pixels(draw_views(chosen, 40, seed=1, step=7), 64)

    rendered = render_views(batch_of(hu), draws, chosen, Method.MOCO, WINDOWS, size)

    for view in range(2):
        expected = one_by_one(hu, draws, view, WINDOWS, size)
        # Rounding may put a grey level on the other side of 127.5, where solarising starts.
        assert ((rendered[view] - expected).abs() > 5e-3).sum() <= 2
        assert rendered[view].dtype == torch.float32


def test_everything_off_is_the_plain_resized_slice_twice() -> None:
    hu = random_slices(5, 64)
    first, second = both(OFF, hu)

    close(first, plain(hu))
    assert torch.equal(first, second)


def test_everything_off_at_the_slices_own_size_is_the_window_alone() -> None:
    hu = random_slices(5, SIZE)

    close(both(OFF, hu)[0], 255 * ((hu.float() + 1000) / 2000).clamp(0, 1))


def test_flip_alone_mirrors_columns() -> None:
    hu = random_slices(6, 64)
    first, second = both(replace(OFF, flip=1.0), hu)

    close(first, plain(hu).flip(2))
    close(second, plain(hu).flip(2))


def test_blur_alone_is_that_of_its_view_scaled_to_the_views_size() -> None:
    hu = random_slices(6, 64)
    first, second = both(replace(OFF, blur=(1.0, 0.0), blur_sigma=(7.0, 7.0)), hu)

    close(first, T.gaussian_blur(plain(hu), [61, 61], [1.0, 1.0]))
    close(second, plain(hu))
    first, second = both(replace(OFF, blur=(0.0, 1.0), blur_sigma=(7.0, 7.0)), hu)
    close(first, plain(hu))
    close(second, T.gaussian_blur(plain(hu), [61, 61], [1.0, 1.0]))


def test_solarising_alone_is_that_of_its_view() -> None:
    hu = random_slices(6, SIZE)
    grey = plain(hu)
    first, second = both(replace(OFF, solarise=(0.0, 1.0)), hu)

    close(first, grey)
    close(second, torch.where(grey > 127.5, 255 - grey, grey))
    assert not torch.allclose(first, second)


def test_brightness_alone_scales_each_view_by_its_own_factor() -> None:
    hu = (random_slices(6, SIZE) // 4 - 500).to(torch.int16)
    draws = draw_views(replace(OFF, jitter=1.0, contrast=0.0), 6, seed=0, step=0)
    views = render_views(batch_of(hu), draws, OFF, Method.MOCO, WIDE, SIZE)

    for view in range(2):
        close(views[view], plain(hu) * draws.brightness[:, view].view(-1, 1, 1))
    assert (draws.brightness[:, 0] != draws.brightness[:, 1]).all()


def test_contrast_alone_scales_distances_from_the_mean() -> None:
    hu = (random_slices(6, SIZE) // 4).to(torch.int16)
    draws = draw_views(replace(OFF, jitter=1.0, brightness=0.0), 6, seed=0, step=0)
    views = render_views(batch_of(hu), draws, OFF, Method.MOCO, WIDE, SIZE)

    mean = plain(hu).mean(dim=(1, 2), keepdim=True)
    for view in range(2):
        close(views[view], mean + (plain(hu) - mean) * draws.contrast[:, view].view(-1, 1, 1))


def test_random_crops_alone_show_the_part_drawn() -> None:
    hu = random_slices(8, 64)
    chosen = replace(OFF, crop_min=0.08, crop_ratio=4 / 3)
    draws = with_whole_pixels(draw_views(chosen, 8, seed=0, step=0), 64)
    views = render_views(batch_of(hu), draws, chosen, Method.MOCO, WIDE, SIZE)

    for view in range(2):
        for place in range(8):
            top, left, bottom, right = (draws.crop[place, view] * 64).int().tolist()
            close(views[view][place], plain(hu[place : place + 1, top:bottom, left:right])[0])


def test_each_view_shows_the_window_drawn_for_it() -> None:
    hu = random_slices(12, 64)
    chosen = replace(OFF, windows=("abdomen", "lung"))
    draws = draw_views(chosen, 12, seed=0, step=0)
    views = render_views(batch_of(hu), draws, chosen, Method.MOCO, WINDOWS, SIZE)

    pictures = [plain(hu, low=-175, high=275), plain(hu, low=-1500, high=500)]
    for view in range(2):
        for place in range(12):
            close(views[view][place], pictures[int(draws.window[place, view])][place])
    assert len(draws.window.unique(dim=0)) == 4


def test_both_views_show_one_window_where_tied() -> None:
    first, second = both(replace(OFF, windows=("abdomen", "lung"), same_window=True), random_slices(12, 64), WINDOWS)

    assert torch.equal(first, second)


BOXED = [[(10.0, 20.0, 14.0, 30.0)], [], [(40.0, 5.0, 60.0, 9.0), (1.0, 1.0, 3.0, 3.0)], []]


def test_a_lesion_view_faces_the_whole_slice_and_other_slices_have_two_random_crops() -> None:
    batch, draws = batch_of(random_slices(4, 64), BOXED), draw_views(PAPER, 4, seed=0, step=0)

    crops = view_crops(batch, draws, Method.LECL)

    assert crops[[0, 2], 0].tolist() == [[0, 0, 64, 64]] * 2
    assert torch.equal(crops[[1, 3]], draws.crop[[1, 3]] * 64)
    for place in (0, 2):
        drawn = draws.lesion_size[place] * 64
        assert (crops[place, 1, 2:] - crops[place, 1, :2] <= drawn + 1e-3).all()
        inside = [
            bool((crops[place, 1, :2] <= centre).all() and (centre <= crops[place, 1, 2:]).all())
            for row_start, column_start, row_stop, column_stop in BOXED[place]
            for centre in [torch.tensor([(row_start + row_stop) / 2, (column_start + column_stop) / 2])]
        ]
        assert any(inside)


def test_moco_takes_no_notice_of_boxes() -> None:
    hu, draws = random_slices(4, 64), draw_views(PAPER, 4, seed=0, step=0)

    boxed = render_views(batch_of(hu, BOXED), draws, PAPER, Method.MOCO, WINDOWS, SIZE)
    bare = render_views(batch_of(hu), draws, PAPER, Method.LECL, WINDOWS, SIZE)

    for view in range(2):
        assert torch.equal(boxed[view], bare[view])


def test_lecl_changes_the_views_of_annotated_slices_alone() -> None:
    batch, draws = batch_of(random_slices(4, 64), BOXED), draw_views(PAPER, 4, seed=0, step=0)

    lecl, moco = (render_views(batch, draws, PAPER, method, WINDOWS, SIZE) for method in (Method.LECL, Method.MOCO))

    for view in range(2):
        assert torch.equal(lecl[view][[1, 3]], moco[view][[1, 3]])
        assert not torch.allclose(lecl[view][[0, 2]], moco[view][[0, 2]])
        assert lecl[view].isfinite().all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6), st.integers(0, 124), st.integers(0, 124))
def test_the_lesion_is_seen_in_view_2_wherever_it_is(seed: int, step: int, row: int, column: int) -> None:
    """A white lesion of 4 pixels in a black slice, at the paper's crops, flips included."""
    hu = torch.full((1, 128, 128), -1000, dtype=torch.int16)
    hu[0, row : row + 4, column : column + 4] = 1000
    chosen = replace(OFF, crop_min=0.08, flip=0.5)
    batch = batch_of(hu, [[(row, column, row + 4, column + 4)]])

    _, lesion = render_views(batch, draw_views(chosen, 1, seed=seed, step=step), chosen, Method.LECL, WIDE, SIZE)

    # At worst 4 pixels of the slice are one of the view and lie astride two of them, in rows and in columns: a quarter.
    assert lesion.max() > 255 / 4 - 0.1


def test_views_do_not_depend_on_the_size_of_chunks_or_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(random_slices(7, 64), [[(1.0, 2.0, 9.0, 9.0)], [], [], [], [], [], [(30.0, 30.0, 40.0, 44.0)]])
    draws = draw_views(PAPER, 7, seed=0, step=0)
    together = render_views(batch, draws, PAPER, Method.LECL, WINDOWS, SIZE)

    parts = [
        render_views(batch.part(a, b), draws.part(a, b), PAPER, Method.LECL, WINDOWS, SIZE) for a, b in ((0, 3), (3, 7))
    ]
    monkeypatch.setattr(module, "CHUNK_PIXELS", 2 * 64 * 64)
    in_chunks = render_views(batch, draws, PAPER, Method.LECL, WINDOWS, SIZE)

    for view in range(2):
        close(torch.cat([part[view] for part in parts]), together[view])
        close(in_chunks[view], together[view])


def test_views_are_float32_without_gradient_under_autocast() -> None:
    hu, draws = random_slices(4, 64), draw_views(PAPER, 4, seed=0, step=0)
    expected = render_views(batch_of(hu), draws, PAPER, Method.MOCO, WINDOWS, SIZE)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        views = render_views(batch_of(hu), draws, PAPER, Method.MOCO, WINDOWS, SIZE)

    for view in range(2):
        assert torch.equal(views[view], expected[view])
        assert not views[view].requires_grad


def test_views_are_the_same_where_only_deterministic_kernels_may_be_used() -> None:
    batch, draws = batch_of(random_slices(4, 64), BOXED), draw_views(PAPER, 4, seed=0, step=0)
    expected = render_views(batch, draws, PAPER, Method.LECL, WINDOWS, SIZE)

    torch.use_deterministic_algorithms(True)
    try:
        views = render_views(batch, draws, PAPER, Method.LECL, WINDOWS, SIZE)
    finally:
        torch.use_deterministic_algorithms(False)

    assert all(torch.equal(views[view], expected[view]) for view in range(2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_cpu() -> None:
    batch, draws = batch_of(random_slices(4, 64), BOXED), draw_views(PAPER, 4, seed=0, step=0)
    expected = render_views(batch, draws, PAPER, Method.LECL, WINDOWS, SIZE)

    views = render_views(batch.to("cuda"), draws, PAPER, Method.LECL, WINDOWS, SIZE)

    for view in range(2):
        assert views[view].device.type == "cuda"
        # A grey level near 127.5 may be solarised on one device alone.
        assert ((views[view].cpu() - expected[view]).abs() > 0.01).sum() <= 2


def test_grey_levels_stay_within_black_and_white() -> None:
    views = both(PAPER, random_slices(64, 64), WINDOWS)

    assert all(view.min() >= 0 and view.max() <= 255 for view in views)


def test_draws_and_windows_that_do_not_belong_are_refused() -> None:
    batch, draws = batch_of(random_slices(3, 64)), draw_views(PAPER, 4, seed=0, step=0)

    with pytest.raises(ValueError, match="4 draws do not belong to 3 slices"):
        render_views(batch, draws, PAPER, Method.MOCO, WINDOWS, SIZE)
    with pytest.raises(ValueError, match=r"windows must be \(2, 2\), not \(1, 2\)"):
        render_views(batch, draws.part(0, 3), PAPER, Method.MOCO, WINDOWS[:1], SIZE)
