from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slicebank_models.cards import EncoderCard, WeightsState, draft_card
from slicebank_models.encoders.mambaout import MambaOutEncoder
from slicebank_models.errors import (
    BadCard,
    CheckpointMismatch,
    EncoderExists,
    UnknownArchitecture,
    WeightsDigestMismatch,
    WeightsMissing,
)
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry


@pytest.fixture
def card() -> EncoderCard:
    return draft_card("lecl_femto", "mambaout_femto", licence="MIT")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    encoder = MambaOutEncoder("mambaout_femto", input_size=224, mean=(0.5,) * 3, std=(0.2,) * 3)
    torch.save({"model": encoder.weights()}, tmp_path / "trained.pth")
    return tmp_path / "trained.pth"


def test_an_installed_checkpoint_loads_as_it_was(card: EncoderCard, checkpoint: Path, tmp_path: Path) -> None:
    registry = EncoderRegistry(tmp_path / "encoders")
    installed, report = install_encoder(registry, card, checkpoint)
    assert (installed.dim, installed.weights) == (288, WeightsState.PRESENT)
    assert installed.parameters == 5_816_304
    assert len(report.mapped) == len(report.as_dict()["mapped"]) > 0
    encoder = load_encoder(registry.get("lecl_femto"), registry.folder)
    trained = torch.load(checkpoint, weights_only=True)["model"]
    assert all(torch.equal(tensor, trained[name]) for name, tensor in encoder.weights().items())
    with pytest.raises(EncoderExists):
        install_encoder(registry, card, checkpoint)


def test_changed_weights_are_noticed(card: EncoderCard, checkpoint: Path, tmp_path: Path) -> None:
    registry = EncoderRegistry(tmp_path / "encoders")
    installed, _ = install_encoder(registry, card, checkpoint)
    path = tmp_path / "encoders" / "lecl_femto" / "weights.safetensors"
    tensors = load_file(path)
    tensors["stem.conv1.bias"][0] += 1
    save_file(tensors, path)
    with pytest.raises(WeightsDigestMismatch):
        load_encoder(installed, registry.folder)
    del tensors["stem.conv1.bias"]
    save_file(tensors, path)
    with pytest.raises(CheckpointMismatch):
        load_encoder(installed, registry.folder)
    path.write_bytes(b"short")
    with pytest.raises(WeightsMissing):
        load_encoder(installed, registry.folder)
    path.unlink()
    with pytest.raises(WeightsMissing):
        load_encoder(registry.get("lecl_femto"), registry.folder)


def test_a_seeded_card_with_another_seed_is_not_itself() -> None:
    card = EncoderRegistry().get("mambaout_femto.untrained")
    with pytest.raises(WeightsDigestMismatch):
        load_encoder(replace(card, seed=1))


def test_cards_that_cannot_be_built() -> None:
    card = EncoderRegistry().get("dummy")
    with pytest.raises(UnknownArchitecture, match="mambaout_tiny"):
        load_encoder(replace(card, architecture="resnet50"))
    with pytest.raises(BadCard):
        load_encoder(replace(card, dim=17))
