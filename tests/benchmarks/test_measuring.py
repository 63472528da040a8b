"""The parts of benchmarks that compute, not those that measure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import write_series
from benchmarks.published_loop import IMAGES_PER_SCAN, Scans, centred_cosines, loop_model
from benchmarks.resize import (
    NOW,
    coefficients,
    differences,
    geometry,
    inputs,
    other_candidates,
    pillow_candidates,
    product_candidates,
    torch_candidates,
)
from benchmarks.slices import read_stack
from benchmarks.timing import Timing, take_turns
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry


def test_a_form_picks_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Form.SHORT.pick(1, 2) == 1
    assert Form.FULL.pick(1, 2) == 2
    monkeypatch.setattr(sys, "argv", ["benchmark", "--full"])
    assert form_from_arguments("a benchmark") is Form.FULL


def test_medians_and_spread() -> None:
    assert Timing((3.0, 1.0, 2.0)).median == 2.0
    assert Timing((3.0, 1.0, 2.0)).spread() == 1.0
    assert Timing((1.0,) * 8).spread() == 0.0


def test_variants_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    timings = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {"a": 2, "b": 2}


def test_cosines_are_centred_by_window_and_see_a_common_shift() -> None:
    rng = np.random.default_rng(0)
    # The windows are far apart: one mean for both would hide that rows differ.
    reference = (rng.normal(size=(12, 8)) + np.tile([[100.0], [-100.0]], (6, 1))).astype(np.float32)
    assert centred_cosines(reference, reference, 2) == pytest.approx(np.ones(12))
    shuffled = reference.reshape(6, 2, 8)[rng.permutation(6)].reshape(12, 8)
    assert centred_cosines(shuffled, reference, 2).min() < 0.9
    assert centred_cosines(reference + 5, reference, 2).min() < 0.9


def test_scans_group_images_in_order(tmp_path: Path) -> None:
    paths = []
    for number in range(IMAGES_PER_SCAN + 3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(paths[-1])
    scans = Scans(paths, lambda image: image.getpixel((0, 0)))
    assert len(scans) == 2
    assert scans[1] == (IMAGES_PER_SCAN, [(number,) * 3 for number in range(IMAGES_PER_SCAN, IMAGES_PER_SCAN + 3)])


def test_the_loop_has_our_features() -> None:
    """timm's own module with our weights computes what our encoder does, so that only speed differs."""
    card = EncoderRegistry().get("mambaout_femto.untrained")
    encoder = load_encoder(card)
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 224, 224), dtype=np.uint8))
    images = rows[:, None].expand(-1, 3, -1, -1) / 255.0
    normalised = (images - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std).view(3, 1, 1)
    with torch.no_grad():
        ours, theirs = encoder.eval()(rows), loop_model(card, encoder.weights())(normalised)
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)


def test_slices_come_from_the_feet_up(tmp_path: Path) -> None:
    write_series(tmp_path, 3, seed=1, matrix=32)
    slices = read_stack(tmp_path).slices
    assert [ref.z_mm for ref in slices] == sorted(ref.z_mm for ref in slices)
    assert all((tmp_path / ref.file).is_file() for ref in slices)


def test_coefficients_are_weights() -> None:
    weights = coefficients(512, 224)
    assert weights.sum(axis=1) == pytest.approx(np.ones(224))
    assert (weights >= 0).all()
    assert (np.count_nonzero(weights, axis=1) <= 6).all()
    assert coefficients(8, 8) == pytest.approx(np.eye(8))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((512, 512), (224, 224, 0, 0)), ((333, 271), (275, 224, 26, 0)), ((271, 333), (224, 275, 0, 26))],
)
def test_geometry_is_that_of_the_product(shape: tuple[int, int], expected: tuple[int, int, int, int]) -> None:
    assert geometry(shape) == expected


def test_exact_ways_to_resize_stay_within_one_level() -> None:
    images = inputs(1)
    apart = {
        name: max(found["largest"] for found in differences(make, images).values())
        for name, make in {**pillow_candidates(), **torch_candidates(), **product_candidates()}.items()
    }
    assert apart.pop("Pillow, reducing_gap=1") > 1
    assert apart[NOW] == 0
    assert max(apart.values()) <= 1
    assert all(
        candidate(images["512 x 512 noise"][0]).shape == (2, 224, 224) for candidate in other_candidates().values()
    )
