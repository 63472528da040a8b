"""The right feature of models of timm: what timm pools before a classifier, and never what a hidden layer made of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from slicebank_models.cards import Interpolation, WeightsState
from slicebank_models.encoders.build import build_encoder, family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.timm_model import draft_timm_card
from slicebank_models.errors import CheckpointMismatch, UnknownArchitecture
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry

SIDE = 64


def small(name: str) -> Encoder:
    return build_encoder(replace(draft_timm_card(name), input_size=SIDE))


def images(encoder: Encoder, rows: Tensor) -> Tensor:
    channels: Tensor = encoder.get_submodule("channels")(rows)
    return channels


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return torch.randint(0, 256, (2, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet10t.c3_in1k", "convnext_atto.d2_in1k", "vit_tiny_patch16_224.augreg_in21k"])
def test_without_a_hidden_head_it_is_what_timm_gives_without_classifier(name: str, rows: Tensor) -> None:
    encoder = small(name)
    options = {"dynamic_img_size": True} if name.startswith("vit") else {}
    reference = timm.create_model(name, num_classes=0, **options).eval()
    reference.load_state_dict(encoder.weights(), strict=False)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(rows), reference(images(encoder, rows)))
    assert encoder.dim == reference.num_features
    assert set(encoder.weights()) == {key for key in reference.state_dict() if "num_batches_tracked" not in key}


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small_050.lamb_in1k", "efficientvit_b0.r224_in1k", "inception_next_atto"]
)
def test_before_a_hidden_head_it_is_the_mean_over_space(name: str, rows: Tensor) -> None:
    encoder = small(name)
    reference = timm.create_model(name, num_classes=0).eval()
    reference.load_state_dict(encoder.weights(), strict=False)
    with torch.inference_mode():
        whole = reference(images(encoder, rows))
        maps = reference.forward_features(images(encoder, rows))
        torch.testing.assert_close(encoder(rows), maps.mean(dim=(2, 3)))
    assert encoder.dim == reference.num_features != whole.shape[1]
    left_out = {key for key in reference.state_dict() if "num_batches_tracked" not in key} - set(encoder.weights())
    assert left_out
    assert all(key.startswith(("head.", "conv_head.", "classifier.")) for key in left_out)


def test_a_norm_at_the_beginning_of_a_hidden_head_is_part_of_the_feature(rows: Tensor) -> None:
    card = replace(draft_timm_card("mambaout_femto.in1k"), input_size=SIDE)
    encoder = build_encoder(card)
    ours = build_encoder(replace(card, architecture="mambaout_femto"))
    ours.set_weights(encoder.weights())
    with torch.inference_mode():
        torch.testing.assert_close(encoder(rows), ours(rows), rtol=1e-4, atol=1e-5)


def test_a_published_file_loses_its_classifier_and_nothing_else(tmp_path: Path, rows: Tensor) -> None:
    name = "mobilenetv3_small_050.lamb_in1k"
    published = timm.create_model(name, pretrained=False).state_dict()
    save_file(published, tmp_path / "model.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders")
    card = replace(draft_timm_card(name, encoder_id="mine"), input_size=SIDE)
    installed, report = install_encoder(registry, card, tmp_path / "model.safetensors")
    reasons = {entry.key: entry.reason for entry in report.dropped}
    assert reasons["classifier.weight"] == "classifier head"
    assert "hidden layer" in reasons["conv_head.weight"]
    assert len(report.mapped) + len(reasons) == len(published)
    encoder = load_encoder(installed, registry.folder)
    assert encoder.dim == installed.dim == 288
    with torch.inference_mode():
        assert encoder(rows).shape == (2, 288)
    del published["blocks.0.0.conv_dw.weight"]
    save_file({**published, "neck.weight": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointMismatch) as caught:
        install_encoder(registry, replace(card, id="odd"), tmp_path / "odd.safetensors")
    assert caught.value.missing == ("blocks.0.0.conv_dw.weight",)
    assert caught.value.left_over == ("neck.weight",)


def test_another_input_size_keeps_the_tensors_of_the_file(rows: Tensor) -> None:
    own = build_encoder(draft_timm_card("vit_tiny_patch16_224.augreg_in21k"))
    smaller = small("vit_tiny_patch16_224.augreg_in21k")
    assert own.weights()["pos_embed"].shape == smaller.weights()["pos_embed"].shape == (1, 197, 192)
    with torch.inference_mode():
        assert smaller(rows).shape == (2, 192)


def test_the_card_is_what_timm_records() -> None:
    card = draft_timm_card("vit_small_patch14_dinov2.lvd142m")
    assert card.id == "timm.vit_small_patch14_dinov2.lvd142m"
    assert card.architecture == "timm:vit_small_patch14_dinov2.lvd142m"
    assert card.weights is WeightsState.MISSING
    assert (card.input_size, card.interpolation) == (518, Interpolation.BICUBIC)
    assert card.licence == "apache-2.0"
    assert card.source is not None
    assert (card.source.repo, card.source.file) == ("timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors")
    other = draft_timm_card("timm:vit_tiny_patch16_224.augreg_in21k", encoder_id="mine")
    assert (other.id, other.mean, other.std) == ("mine", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert draft_timm_card("resnet10t").architecture.startswith("timm:resnet10t.")


@pytest.mark.parametrize("name", ["nonsense", "resnet10t.nonsense", "", "../resnet10t"])
def test_names_that_timm_does_not_know_are_refused(name: str) -> None:
    with pytest.raises(UnknownArchitecture, match="timm"):
        draft_timm_card(name)


def test_models_without_a_pooled_feature_are_refused() -> None:
    with pytest.raises(UnknownArchitecture, match="no pooled feature"):
        build_encoder(draft_timm_card("mobilenetv5_300m_enc"))


def test_models_of_convolutions_stay_in_float32_and_transformers_are_lowered() -> None:
    assert not small("resnet10t.c3_in1k").lowers
    assert small("vit_tiny_patch16_224.augreg_in21k").lowers


def test_keys_that_the_architecture_computes_itself_are_left_out() -> None:
    rule = family_of("timm:resnet10t").key_rules("timm:resnet10t.c3_in1k", frozenset())
    assert isinstance(rule("layers.0.attn.relative_position_index"), DroppedKey)
    assert isinstance(rule("mask_token"), DroppedKey)
    assert isinstance(rule("fc.weight"), DroppedKey)
    assert rule("conv1.weight") == "conv1.weight"
