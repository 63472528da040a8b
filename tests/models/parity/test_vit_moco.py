from pathlib import Path

import pytest
import torch
from torch import Tensor

from slicebank_models.cards import draft_card
from slicebank_models.encoders.vit_moco import LAYOUTS, sincos_positions
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import MOST_ERROR, Golden, read_golden, relative_error


def state(golden: Golden, name: str) -> dict[str, Tensor]:
    """Weights by formula, and the positions that the original makes itself, by ours."""

    def positions(key: str, shape: tuple[int, ...], u: Tensor) -> Tensor | None:
        del shape, u
        return sincos_positions(LAYOUTS[name].dim, 14) if key.endswith("pos_embed") else None

    return golden.state(override=positions)


def features(checkpoint: Path, name: str, branch: str, folder: Path) -> tuple[Tensor, str]:
    """Through our loader; also the layout that it saw."""
    registry = EncoderRegistry(folder)
    draft = draft_card(branch, name, licence="none")
    card, report = install_encoder(registry, draft, checkpoint, branch=branch)
    encoder = load_encoder(card, registry.folder)
    with torch.inference_mode():
        return encoder(parity_rows(224)), report.layout


@pytest.mark.parametrize("name", ["vit_small", "vit_conv_small"])
def test_both_encoders_of_a_training_file_give_the_originals_features(name: str, tmp_path: Path) -> None:
    golden = read_golden(name)
    checkpoint = tmp_path / "checkpoint_0299.pth.tar"
    entries = {f"module.{key}": tensor for key, tensor in state(golden, name).items()}
    torch.save({"epoch": 300, "arch": name, "state_dict": entries, "optimizer": {}, "scaler": {}}, checkpoint)
    base, layout = features(checkpoint, name, "base_encoder", tmp_path / "base")
    assert layout == "moco_v3:base_encoder"
    assert relative_error(base, golden.features) <= MOST_ERROR
    momentum, layout = features(checkpoint, name, "momentum_encoder", tmp_path / "momentum")
    assert layout == "moco_v3:momentum_encoder"
    assert relative_error(momentum, golden.parts["momentum"]) <= MOST_ERROR
    assert relative_error(momentum, golden.features) > 0.1


@pytest.mark.parametrize("name", [pytest.param("vit_base", marks=pytest.mark.slow), "vit_conv_base"])
def test_converted_files_give_the_originals_features(name: str, tmp_path: Path) -> None:
    golden = read_golden(name)
    checkpoint = tmp_path / "converted.pth"
    torch.save({"model": state(golden, name)}, checkpoint)
    found, layout = features(checkpoint, name, "base_encoder", tmp_path / "encoders")
    assert layout == "plain"
    assert relative_error(found, golden.features) <= MOST_ERROR
