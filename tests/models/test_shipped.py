"""Encoders whose weights lie inside the package: here in a folder of the test's own, and those that really came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slicebank_models.cards import EncoderCard, WeightsState, draft_card
from slicebank_models.digest import weights_digest
from slicebank_models.encoder_folders import write_card
from slicebank_models.errors import EncoderExists, EncoderNotRegistered, WeightsMissing
from slicebank_models.loading import load_encoder
from slicebank_models.missing_weights import how_to_get
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_models.shipped import SHIPPED, read_shipped
from slicebank_models.verifying import Soundness, verify_encoder

MATRIX = torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16) / 4096
MOST_BYTES = 25_000_000


def ship(folder: Path, encoder_id: str = "dummy.lecl", matrix: torch.Tensor = MATRIX) -> EncoderCard:
    """An encoder's folder as an export leaves it; the digest is of what is loaded, whatever is stored."""
    home = folder / encoder_id
    home.mkdir(parents=True)
    save_file({"matrix": matrix}, home / "weights.safetensors")
    card = replace(
        draft_card(encoder_id, "dummy", licence="CC0", input_size=64),
        dim=16,
        parameters=MATRIX.numel(),
        weights=WeightsState.PRESENT,
        weights_digest=weights_digest({"matrix": matrix.float()}),
    )
    write_card(home, card)
    return card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ship(tmp_path / "shipped")
    return tmp_path / "shipped"


def test_nobody_registers_them(folder: Path, tmp_path: Path) -> None:
    shipped = read_shipped(folder)
    for home in (None, tmp_path / "encoders"):
        registry = EncoderRegistry(home, shipped=shipped)
        card = registry.get("dummy.lecl")
        assert card in registry.cards()
        assert card.weights is WeightsState.PRESENT
        assert torch.equal(load_encoder(card, registry.folder, shipped=registry.shipped).weights()["matrix"], MATRIX)
        check = verify_encoder(registry, "dummy.lecl")
        assert check.soundness is Soundness.SOUND
        assert "came with slicebank" in check.detail
        assert registry.stored_ids() == ["dummy.lecl"]
        assert registry.registered_ids() == []


def test_their_names_are_taken(folder: Path, tmp_path: Path) -> None:
    registry = EncoderRegistry(tmp_path / "encoders", shipped=read_shipped(folder))
    with pytest.raises(EncoderExists):
        registry.require_free("dummy.lecl")
    with pytest.raises(EncoderNotRegistered):
        registry.remove("dummy.lecl")


def test_one_of_the_same_name_that_was_registered_before_gives_way(folder: Path, tmp_path: Path) -> None:
    """A newer slicebank may bring a name that a user had chosen; the card and the weights must be of one encoder."""
    ship(tmp_path / "encoders", matrix=MATRIX + 1)
    registry = EncoderRegistry(tmp_path / "encoders", shipped=read_shipped(folder))
    card = registry.get("dummy.lecl")
    assert torch.equal(load_encoder(card, registry.folder, shipped=registry.shipped).weights()["matrix"], MATRIX)
    assert verify_encoder(registry, "dummy.lecl").soundness is Soundness.SOUND


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_halves_on_the_disk_are_the_weights_that_are_loaded(dtype: torch.dtype, tmp_path: Path) -> None:
    ship(tmp_path / "shipped", matrix=(MATRIX / 3).to(dtype))
    registry = EncoderRegistry(None, shipped=read_shipped(tmp_path / "shipped"))
    loaded = load_encoder(registry.get("dummy.lecl"), shipped=registry.shipped).weights()["matrix"]
    assert loaded.dtype is torch.float32
    assert torch.equal(loaded, (MATRIX / 3).to(dtype).float())
    assert verify_encoder(registry, "dummy.lecl").soundness is Soundness.SOUND


def _flip(home: Path) -> None:
    tensors = load_file(home / "weights.safetensors")
    tensors["matrix"][0, 0] += 1
    save_file(tensors, home / "weights.safetensors")


def _flip_without_sums(home: Path) -> None:
    (home / "SHA256SUMS").unlink()
    _flip(home)


@pytest.mark.parametrize("damage", [_flip, _flip_without_sums])
def test_damage_is_found(damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder / "dummy.lecl")
    registry = EncoderRegistry(None, shipped=read_shipped(folder))
    check = verify_encoder(registry, "dummy.lecl")
    assert check.soundness is Soundness.DAMAGED
    assert "install that again" in check.detail


def test_lost_weights_are_missing_and_can_be_brought(folder: Path, tmp_path: Path) -> None:
    (folder / "dummy.lecl" / "weights.safetensors").rename(tmp_path / "kept.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders", shipped=read_shipped(folder))
    card = registry.get("dummy.lecl")
    assert card.weights is WeightsState.MISSING
    assert verify_encoder(registry, "dummy.lecl").soundness is Soundness.MISSING
    with pytest.raises(WeightsMissing):
        load_encoder(card, registry.folder, shipped=registry.shipped)
    registry.add(card, tmp_path / "kept.safetensors")
    card = registry.get("dummy.lecl")
    assert torch.equal(load_encoder(card, registry.folder, shipped=registry.shipped).weights()["matrix"], MATRIX)
    assert verify_encoder(registry, "dummy.lecl").soundness is Soundness.SOUND


def test_a_damaged_card_costs_its_own_encoder_only(folder: Path) -> None:
    ship(folder, "other.lecl")
    (folder / "dummy.lecl" / "card.json").write_text("{")
    shipped = read_shipped(folder)
    registry = EncoderRegistry(None, shipped=shipped)
    assert [card.id for card in shipped.cards] == ["other.lecl"]
    assert "install that again" in registry.problems()["dummy.lecl"]


def test_which_is_the_default(folder: Path, tmp_path: Path) -> None:
    assert read_shipped(tmp_path / "nothing").first("b.lecl") is None
    assert read_shipped(folder).first("b.lecl") == "dummy.lecl"
    ship(folder, "b.lecl")
    ship(folder, "a.lecl")
    assert read_shipped(folder).first("b.lecl") == "b.lecl"


def test_what_came_is_whole_small_trained_and_the_default() -> None:
    assert SHIPPED.problems == {}
    assert (SHIPPED.first("mambaout_femto.lecl") or "mambaout_femto.untrained") == DEFAULT_ENCODER
    registry = EncoderRegistry(None)
    for card in SHIPPED.cards:
        home = SHIPPED.home(card)
        assert home is not None
        assert (card.weights, card.trained, card.source) == (WeightsState.PRESENT, True, None)
        assert (home / "weights.safetensors").stat().st_size <= MOST_BYTES
        assert verify_encoder(registry, card.id).soundness is Soundness.SOUND
        assert load_encoder(card).dim == card.dim
        lost = replace(card, weights=WeightsState.MISSING)
        assert "install it again" in how_to_get(lost)
