from __future__ import annotations

import pytest
import torch
from torch import Tensor

from slicebank_models.builtin.biomedclip import CARDS
from slicebank_models.cards import Interpolation
from slicebank_models.encoders.biomedclip import FAMILY, BiomedClipEncoder
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import read_golden

CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}


@pytest.fixture(scope="module")
def encoder() -> BiomedClipEncoder:
    """Two of the twelve blocks, which are all alike."""
    with torch.device("meta"):
        encoder = BiomedClipEncoder(input_size=64, **CLIP).eval()
        encoder.trunk.visual.trunk.blocks = encoder.trunk.visual.trunk.blocks[:2]
    encoder.trunk.load_state_dict(parity_state(encoder.weights()), assign=True)
    encoder.channels = GreyToChannels(**CLIP)
    return encoder


def test_names_and_shapes_are_those_of_open_clip_and_make_86_million_parameters() -> None:
    with torch.device("meta"):
        weights = BiomedClipEncoder(input_size=224, **CLIP).weights()
    official = {name: shape for name, shape, _ in read_golden("biomedclip").parameters if name.startswith("visual.")}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    assert shapes == official
    assert round(sum(tensor.numel() for tensor in weights.values()) / 1e6) == 86
    assert FAMILY.infer(shapes) == "biomedclip"
    assert FAMILY.infer(shapes | {"visual.head.proj.weight": (768, 768)}) is None


def test_our_forward_pass_is_timms_and_then_the_projection(encoder: BiomedClipEncoder) -> None:
    rows = parity_rows(64)
    with torch.inference_mode():
        features = encoder(rows)
        tower = encoder.trunk.visual
        expected: Tensor = tower.trunk(encoder.channels(rows)) @ tower.head.proj.weight.T
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert (features.norm(dim=1) - 1).abs().min() > 0.1  # encode_image's default leaves lengths as they are


def test_only_the_matrices_of_blocks_are_lowered() -> None:
    with torch.device("meta"):
        encoder = BiomedClipEncoder(input_size=224, **CLIP)
    encoder.lower(torch.bfloat16)
    lowered = {name for name, parameter in encoder.trunk.named_parameters() if parameter.dtype == torch.bfloat16}
    assert lowered == {name for name in encoder.weights() if ".attn." in name or ".mlp." in name}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("visual.trunk.norm.weight", "visual.trunk.norm.weight"),
        ("text.proj.0.weight", DroppedKey("text.proj.0.weight", "text tower")),
        ("logit_scale", DroppedKey("logit_scale", "temperature of the contrastive loss")),
        ("visual.trunk.fc_norm.weight", "visual.trunk.fc_norm.weight"),
    ],
)
def test_only_the_text_tower_and_the_temperature_are_dropped(key: str, expected: str | DroppedKey) -> None:
    assert FAMILY.key_rules("biomedclip", frozenset({key}))(key) == expected


def test_its_rows_are_preprocessed_as_open_clip_does() -> None:
    for card in CARDS:
        assert (card.mean, card.std) == (CLIP["mean"], CLIP["std"])
        assert card.interpolation is Interpolation.BICUBIC
