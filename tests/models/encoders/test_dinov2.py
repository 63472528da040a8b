from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import vit_small_patch14_dinov2

from slicebank_models.cards import draft_card
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.dinov2 import FAMILY, GRID, LAYOUTS, DinoV2Encoder
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import BadCard, CheckpointMismatch
from slicebank_models.loading import install_encoder
from slicebank_models.registry import EncoderRegistry

GREY = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
ROWS = torch.arange(2 * 28 * 28, dtype=torch.int64).remainder(251).to(torch.uint8).view(2, 28, 28)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("dinov2_vits14", 22.1), ("dinov2_vitb14", 86.6), ("dinov2_vitl14", 304.4), ("dinov2_vitg14", 1136.5)],
)
@pytest.mark.parametrize("suffix", ["", "_reg"])
def test_sizes_are_the_published_ones(name: str, millions: float, suffix: str) -> None:
    with torch.device("meta"):
        encoder = build_encoder(draft_card("mine", f"{name}{suffix}", licence="none"))
    assert sum(tensor.numel() for tensor in encoder.weights().values()) / 1e6 == pytest.approx(millions, abs=0.06)
    assert FAMILY.infer({key: tuple(t.shape) for key, t in encoder.weights().items()}) == f"{name}{suffix}"


def test_another_transformer_is_not_taken_for_dinov2() -> None:
    assert FAMILY.infer({"pos_embed": (1, 197, 384), "blocks.0.norm1.weight": (384,)}) is None
    assert FAMILY.infer({}) is None


def test_images_must_be_made_of_whole_patches() -> None:
    with pytest.raises(BadCard, match="multiple of 14"):
        DinoV2Encoder("dinov2_vits14", input_size=256, **GREY)


def test_the_positions_of_the_file_are_used_as_they_are_at_their_own_size() -> None:
    trunk = DinoV2Encoder("dinov2_vits14", input_size=518, **GREY).trunk
    assert trunk.positions(GRID) is trunk.pos_embed
    assert trunk.positions(16).shape == (1, 257, 384)


def test_resampling_moves_no_constant_and_keeps_the_class_token() -> None:
    for name in ("dinov2_vits14", "dinov2_vits14_reg"):
        trunk = DinoV2Encoder(name, input_size=224, **GREY).trunk
        with torch.no_grad():
            trunk.pos_embed.fill_(0.5)
            trunk.pos_embed[:, 0] = 7.0
            positions = trunk.positions(16)
        torch.testing.assert_close(positions[:, 1:], torch.full((1, 256, 384), 0.5))
        assert torch.equal(positions[:, 0], torch.full((1, 384), 7.0))


def test_positions_run_row_by_row() -> None:
    trunk = DinoV2Encoder("dinov2_vits14_reg", input_size=224, **GREY).trunk
    with torch.no_grad():
        trunk.pos_embed[0, 1:] = torch.arange(GRID).repeat_interleave(GRID).float()[:, None]
        rows = trunk.positions(16)[0, 1:, 0].view(16, 16)
    torch.testing.assert_close(rows, rows[:, :1].expand(16, 16))
    assert (rows[1:, 0] > rows[:-1, 0]).all()


def test_timms_file_of_a_plain_size_gives_the_same_tensors(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = vit_small_patch14_dinov2(num_classes=0).state_dict()
    torch.save({name: torch.full(tensor.shape, 0.01) for name, tensor in names.items()}, tmp_path / "timm.pth")
    registry = EncoderRegistry(tmp_path / "encoders")
    _, report = install_encoder(registry, draft_card("mine", "dinov2_vits14", licence="none"), tmp_path / "timm.pth")
    assert all(key == name for key, name in report.mapped)


def test_keys_of_the_pre_training_are_left_out_and_timms_gated_names_are_known() -> None:
    official = FAMILY.key_rules("dinov2_vitg14", frozenset({"blocks.0.mlp.w12.weight"}))
    dropped = official("mask_token")
    assert isinstance(dropped, DroppedKey)
    assert "mask" in dropped.reason
    assert official("blocks.0.mlp.w12.weight") == "blocks.0.mlp.w12.weight"
    timms = FAMILY.key_rules("dinov2_vitg14", frozenset({"blocks.0.mlp.fc1.weight"}))
    assert timms("blocks.0.mlp.fc1.weight") == "blocks.0.mlp.w12.weight"
    assert timms("blocks.0.mlp.fc2.bias") == "blocks.0.mlp.w3.bias"


def test_a_file_without_registers_is_refused_where_they_are_expected(tmp_path: Path) -> None:
    with torch.device("meta"):
        plain = build_encoder(draft_card("mine", "dinov2_vits14", licence="none")).weights()
    torch.save({name: torch.zeros(tensor.shape) for name, tensor in plain.items()}, tmp_path / "plain.pth")
    card = draft_card("mine", "dinov2_vits14_reg", licence="none")
    with pytest.raises(CheckpointMismatch) as caught:
        install_encoder(EncoderRegistry(tmp_path / "encoders"), card, tmp_path / "plain.pth")
    assert caught.value.missing == ("register_tokens",)


def test_registers_take_part() -> None:
    assert LAYOUTS["dinov2_vits14_reg"].registers == 4
    encoder = DinoV2Encoder("dinov2_vits14_reg", input_size=28, **GREY).eval()
    weights = seeded_weights(1, encoder.weights())
    encoder.set_weights(weights)
    with torch.inference_mode():
        before = encoder(ROWS)
        encoder.set_weights({**weights, "register_tokens": weights["register_tokens"] + 1})
        assert not torch.allclose(encoder(ROWS), before)
