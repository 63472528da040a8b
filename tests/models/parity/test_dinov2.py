from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import checkpoint_filter_fn, vit_small_patch14_reg4_dinov2
from torch import Tensor

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, draft_card
from slicebank_models.checkpoints import map_checkpoint
from slicebank_models.encoders.dinov2 import FAMILY, LAYOUTS, DinoViT
from slicebank_models.encoders.slice_encoder import GreyToChannels
from slicebank_models.encoders.timm_model import draft_timm_card
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error


def ours(card: EncoderCard, state: dict[str, Tensor], folder: Path) -> Tensor:
    """Features of the three fixed rows, by way of a checkpoint in the official container."""
    torch.save(state, folder / "official.pth")
    registry = EncoderRegistry(folder / "encoders")
    installed, _ = install_encoder(registry, card, folder / "official.pth")
    encoder = load_encoder(installed, registry.folder)
    with torch.inference_mode():
        features: Tensor = encoder(parity_rows(card.input_size))
    return features


@pytest.mark.slow
def test_at_the_size_of_the_weights(tmp_path: Path) -> None:
    golden = read_golden("dinov2_vits14")
    card = draft_card("mine", "dinov2_vits14", licence="none", input_size=518)
    assert relative_error(ours(card, golden.state(), tmp_path), golden.features) <= MOST_ERROR


def test_resampled_positions(tmp_path: Path) -> None:
    golden = read_golden("dinov2_vits14")
    card = draft_card("mine", "dinov2_vits14", licence="none")
    assert relative_error(ours(card, golden.state(), tmp_path), golden.parts["features_224"]) <= MOST_ERROR


def test_registers(tmp_path: Path) -> None:
    golden = read_golden("dinov2_vits14_reg")
    card = draft_card("mine", "dinov2_vits14_reg", licence="none")
    assert relative_error(ours(card, golden.state(), tmp_path), golden.features) <= MOST_ERROR


def test_timms_file_of_the_model_with_registers(tmp_path: Path) -> None:
    golden = read_golden("dinov2_vits14_reg")
    with torch.device("meta"):
        like = vit_small_patch14_reg4_dinov2(num_classes=0, img_size=518)
    published = checkpoint_filter_fn(golden.state(), like)
    card = replace(draft_timm_card("vit_small_patch14_reg4_dinov2.lvd142m", encoder_id="mine"), input_size=224)
    assert relative_error(ours(card, published, tmp_path), golden.features) <= MOST_ERROR


def test_gated_mlps_of_the_giant(tmp_path: Path) -> None:
    golden = read_golden("dinov2_vitg14")
    trunk = DinoViT(replace(LAYOUTS["dinov2_vitg14"], depth=2)).eval()
    torch.save(golden.state(), tmp_path / "official.pth")
    rules = partial(FAMILY.key_rules, "dinov2_vitg14")
    trunk.load_state_dict(map_checkpoint(tmp_path / "official.pth", trunk.state_dict(), rules).tensors)
    with torch.inference_mode():
        features = trunk(GreyToChannels(IMAGENET_MEAN, IMAGENET_STD)(parity_rows(56)))
    assert relative_error(features, golden.features) <= MOST_ERROR
