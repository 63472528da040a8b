"""Stored weights are checked byte by byte; no byte may flip unseen."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from slicebank_models.cards import WeightsState, draft_card
from slicebank_models.digest import weights_digest
from slicebank_models.errors import ModelsError, UnreadableCheckpoint
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_models.stored_weights import stored_digest
from slicebank_models.verifying import Soundness, verify_encoder
from slicebank_models.weights_source import WeightsSource


@pytest.fixture
def registry(tmp_path: Path) -> EncoderRegistry:
    save_file({"matrix": torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16)}, tmp_path / "made.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders")
    card = replace(draft_card("mine", "dummy", licence="CC0", input_size=64), dim=16)
    install_encoder(registry, card, tmp_path / "made.safetensors")
    return registry


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_sound_weights(registry: EncoderRegistry, tmp_path: Path) -> None:
    check = verify_encoder(registry, "mine")
    assert check.soundness is Soundness.SOUND
    folder = tmp_path / "encoders" / "mine"
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "any sha256sum can check them too"
    assert check.sha256 in (folder / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    "place", [0, 3, 8, 20, 60, 90, -1, -2, -4096, -256 * 16 * 4], ids=lambda place: f"byte {place}"
)
@pytest.mark.parametrize("noted", [True, False])
def test_one_flipped_byte_of_the_weights(registry: EncoderRegistry, tmp_path: Path, place: int, noted: bool) -> None:
    folder = tmp_path / "encoders" / "mine"
    if not noted:  # as of an encoder that an older version registered
        (folder / "SHA256SUMS").unlink()
    flip(folder / "weights.safetensors", place)
    check = verify_encoder(registry, "mine")
    assert check.soundness is Soundness.DAMAGED
    assert "encoders remove mine" in check.detail
    with pytest.raises(ModelsError):
        load_encoder(registry.get("mine"), registry.folder)


@pytest.mark.parametrize("place", [0, 10, 40, 200, -3])
def test_one_flipped_byte_of_the_card(registry: EncoderRegistry, tmp_path: Path, place: int) -> None:
    flip(tmp_path / "encoders" / "mine" / "card.json", place)
    assert verify_encoder(registry, "mine").soundness is Soundness.DAMAGED
    assert "dummy" in [card.id for card in registry.cards()], "the other encoders go on"


def test_a_file_cut_short_or_gone(registry: EncoderRegistry, tmp_path: Path) -> None:
    weights = tmp_path / "encoders" / "mine" / "weights.safetensors"
    content = weights.read_bytes()
    for length in (0, 5, 8, 50, len(content) - 1):
        weights.write_bytes(content[:length])
        assert verify_encoder(registry, "mine").soundness is Soundness.DAMAGED, length
    weights.unlink()
    check = verify_encoder(registry, "mine")
    assert check.soundness is Soundness.MISSING
    assert "encoders add FILE --id mine" in check.detail


@pytest.mark.parametrize(
    ("encoder_id", "architecture", "again"),
    [
        ("mine", "dummy", "encoders pull hf:lab/ct@v1:w.safetensors --id mine --architecture dummy`"),
        ("mine", "hf:dinov2", "encoders pull hf:lab/ct@v1 --id mine`"),
        ("biomedclip", "biomedclip", "encoders pull biomedclip`"),
    ],
)
def test_the_way_back_is_one_after_the_removal_too(
    tmp_path: Path, encoder_id: str, architecture: str, again: str
) -> None:
    """The id of a card that slicebank ships is known then; another is not."""
    save_file({"matrix": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders")
    card = replace(draft_card(encoder_id, architecture, licence="CC0", input_size=64), dim=16)
    card = replace(card, source=WeightsSource("lab/ct", "w.safetensors", "v1"), weights=WeightsState.PRESENT)
    registry.add(replace(card, weights_digest="0" * 64), tmp_path / "w.safetensors")
    check = verify_encoder(registry, encoder_id)
    assert check.soundness is Soundness.DAMAGED
    assert f"encoders remove {encoder_id}`" in check.detail
    assert again in check.detail


def test_encoders_without_stored_weights() -> None:
    for encoder_id in ("dummy", "mambaout_femto.untrained"):
        assert verify_encoder(EncoderRegistry(), encoder_id).soundness is Soundness.NOT_STORED


def test_the_digest_needs_no_torch(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "b.scalar": torch.tensor(1.5),
        "a.matrix": torch.randn(3, 5, generator=generator),
        "a": torch.randn(2, 0, 4),
        "half": torch.randn(7, generator=generator).to(torch.float16),
        "brain": torch.randn(7, generator=generator).to(torch.bfloat16),
        "count": torch.tensor([1, 2], dtype=torch.int64),
        "yes": torch.tensor([True, False]),
    }
    save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt"})
    halves = {name: tensors[name].float() for name in ("half", "brain")}  # as they are loaded
    assert stored_digest(tmp_path / "w.safetensors") == weights_digest(tensors | halves)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 16,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (40).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1e9]}}     ',
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}'.ljust(60),
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[8,4]}}'.ljust(60),
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60),
        (70_000).to_bytes(8, "little") + b"[" * 70_000,
    ],
    ids=range(9),
)
def test_absurd_headers(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UnreadableCheckpoint):
        stored_digest(tmp_path / "w.safetensors")
