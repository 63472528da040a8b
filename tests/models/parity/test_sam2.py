"""SAM 2's image encoder against the official code's numbers, from a checkpoint in the official form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from slicebank_models.builtin.sam2 import CARDS
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.faint_stem import faint_stem
from tests.models.parity.formula import parity_rows, parity_tensor
from tests.models.parity.goldens import MOST_ERROR, Golden, read_golden, relative_error


def official_state(golden: Golden, used: str) -> dict[str, Tensor]:
    """Values by formula under `used`, and zeros that take no memory for the rest."""
    return {
        name: parity_tensor(name, shape, override=faint_stem)
        if name.startswith(used)
        else torch.zeros(()).expand(shape)
        for name, shape, _ in golden.parameters
    }


def errors_of(golden: Golden, checkpoint: Path, architecture: str, expected: dict[int, Tensor]) -> dict[int, float]:
    """Installs the checkpoint and compares features by size of the input."""
    card = next(card for card in CARDS if card.id == architecture)
    registry = EncoderRegistry(checkpoint.parent / "encoders")
    complete, report = install_encoder(registry, replace(card, id="under-test"), checkpoint)
    assert len(report.mapped) + len(report.dropped) == len(golden.parameters)
    assert {entry.reason for entry in report.dropped} == {"prompt encoder", "mask decoder", "memory of video frames"}
    errors = {}
    for size, features in expected.items():
        encoder = load_encoder(replace(complete, input_size=size), registry.folder)
        with torch.inference_mode():
            errors[size] = relative_error(torch.cat([encoder(row[None]) for row in parity_rows(size)]), features)
    return errors


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("sam2_hiera_tiny", (224, 160)),
        pytest.param("sam2_hiera_tiny", (1024,), marks=pytest.mark.slow),
        pytest.param("sam2_hiera_small", (224,), marks=pytest.mark.slow),
        pytest.param("sam2_hiera_base_plus", (224,), marks=pytest.mark.slow),
        pytest.param("sam2_hiera_large", (224,), marks=pytest.mark.slow),
    ],
)
def test_features_are_those_of_the_official_code(architecture: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    goldens = {size: read_golden(architecture if size == 224 else f"{architecture}_{size}") for size in sizes}
    golden = goldens[sizes[0]]
    checkpoint = tmp_path / "sam2.pt"
    torch.save({"model": official_state(golden, "image_encoder.")}, checkpoint)
    expected = {size: goldens[size].features for size in sizes}
    assert max(errors_of(golden, checkpoint, architecture, expected).values()) <= MOST_ERROR


def test_a_file_of_transformers_gives_what_transformers_gives(tmp_path: Path) -> None:
    golden = read_golden("sam2_hiera_tiny_transformers")
    checkpoint = tmp_path / "model.safetensors"
    state = official_state(golden, "vision_encoder.")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, checkpoint)
    assert errors_of(golden, checkpoint, "sam2_hiera_tiny", {224: golden.features})[224] <= MOST_ERROR
