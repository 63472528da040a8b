"""Architectures told by files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.checkpoints import open_checkpoint
from slicebank_models.encoders.build import build_encoder
from slicebank_models.errors import UnknownArchitecture
from slicebank_models.inferring import infer_architecture

CARDS = [
    card
    for card in BUILTIN_CARDS
    if card.architecture in ("mambaout_femto", "mambaout_kobe", "vit_conv_small", "vit_small") and card.seed is not None
]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.architecture)
def test_a_training_file_tells_its_architecture(card, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tensors = {name: torch.empty(tensor.shape) for name, tensor in build_encoder(card).weights().items()}
    state = {f"module.base_encoder.{name}": tensor for name, tensor in tensors.items()}
    state["module.momentum_encoder.x"] = torch.zeros(1)
    state["module.base_encoder.head.0.weight"] = torch.zeros(4, 4)
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    assert infer_architecture(open_checkpoint(tmp_path / "x.pth"), "x") == card.architecture


def test_a_file_that_lacks_a_tensor_is_of_nothing(tmp_path: Path) -> None:
    tensors = {name: torch.empty(tensor.shape) for name, tensor in build_encoder(CARDS[0]).weights().items()}
    tensors.pop(next(iter(tensors)))
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(UnknownArchitecture, match="--architecture"):
        infer_architecture(open_checkpoint(tmp_path / "x.pth"), "x")


@pytest.mark.parametrize("positions", [None, (3,), (1, 0, 384), (1, 6, 384), (1, 197, 192)])
def test_a_file_whose_positions_are_missing_or_odd_is_of_nothing(
    positions: tuple[int, ...] | None, tmp_path: Path
) -> None:
    card = next(card for card in CARDS if card.architecture == "vit_conv_small")
    tensors = {name: torch.empty(tensor.shape) for name, tensor in build_encoder(card).weights().items()}
    del tensors["pos_embed"]
    if positions is not None:
        tensors["pos_embed"] = torch.empty(positions)
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(UnknownArchitecture, match="--architecture"):
        infer_architecture(open_checkpoint(tmp_path / "x.pth"), "x")
