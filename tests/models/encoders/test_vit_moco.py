import math

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.encoders.vit_moco import FAMILY, LAYOUTS, MoCoViTEncoder, sincos_positions

GREY = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

BLOCK = [
    *("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"),
    *("norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
]
STEM_CONV = ["weight"]
STEM_NORM = ["weight", "bias", "running_mean", "running_var"]


def names_in_the_official_repository(depth: int, *, conv_stem: bool) -> set[str]:
    names = {"cls_token", "pos_embed", "norm.weight", "norm.bias"}
    names |= {f"blocks.{number}.{leaf}" for number in range(depth) for leaf in BLOCK}
    if not conv_stem:
        return names | {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    for place in (0, 3, 6, 9):
        names |= {f"patch_embed.proj.{place}.{leaf}" for leaf in STEM_CONV}
        names |= {f"patch_embed.proj.{place + 1}.{leaf}" for leaf in STEM_NORM}
    return names | {"patch_embed.proj.12.weight", "patch_embed.proj.12.bias"}


@pytest.mark.parametrize(
    ("name", "dim", "depth", "millions"),
    [
        ("vit_small", 384, 12, 21.7),
        ("vit_base", 768, 12, 85.8),
        ("vit_conv_small", 384, 11, 20.6),
        ("vit_conv_base", 768, 11, 82.2),
    ],
)
def test_names_widths_and_depths_are_the_official_ones(name: str, dim: int, depth: int, millions: float) -> None:
    encoder = MoCoViTEncoder(name, input_size=224, **GREY)
    weights = encoder.weights()
    assert set(weights) == names_in_the_official_repository(depth, conv_stem=LAYOUTS[name].conv_stem)
    assert encoder.dim == dim
    assert weights["pos_embed"].shape == (1, 197, dim)
    assert sum(tensor.numel() for tensor in weights.values()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_positions_are_the_formula_of_the_paper() -> None:
    found = sincos_positions(8, 3)[0]
    assert found[0].tolist() == [0.0] * 8
    for row in range(3):
        for column in range(3):
            expected = [
                wave(at / 10000 ** (step / 2))
                for at in (row, column)
                for wave in (math.sin, math.cos)
                for step in (0, 1)
            ]
            assert found[1 + 3 * row + column].tolist() == pytest.approx(expected, abs=1e-7)


def test_plain_patches_agree_with_timms_transformer() -> None:
    encoder = MoCoViTEncoder("vit_small", input_size=64, **GREY).eval()
    weights = seeded_weights(3, encoder.weights(), frozenset({"pos_embed"}))
    weights["cls_token"] = torch.linspace(-1, 1, 384).view(1, 1, -1)
    encoder.set_weights(weights)
    reference = VisionTransformer(
        img_size=64, patch_size=16, embed_dim=384, depth=12, num_heads=12, num_classes=0, global_pool="token"
    ).eval()
    reference.load_state_dict(weights)
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8))
    with torch.inference_mode():
        features = encoder(grey)
        expected = reference(encoder.channels(grey))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_the_conv_stem_strides_by_sixteen_with_batch_norm_frozen() -> None:
    encoder = MoCoViTEncoder("vit_conv_small", input_size=64, **GREY).eval()
    encoder.set_weights(seeded_weights(0, encoder.weights(), frozenset({"pos_embed"})))
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    with torch.inference_mode():
        together = encoder(grey)
        alone = torch.cat([encoder(image[None]) for image in grey])
    assert together.shape == (3, 384)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_forms_are_told_from_training_files(name: str) -> None:
    with torch.device("meta"):
        encoder = MoCoViTEncoder(name, input_size=224, **GREY)
    shapes = {key: tuple(tensor.shape) for key, tensor in encoder.weights().items()}
    with_projector = {**shapes, "head.0.weight": (4096, encoder.dim), "head.1.weight": (4096,)}
    assert FAMILY.infer(with_projector) == name
    assert FAMILY.infer(shapes) == (name if LAYOUTS[name].conv_stem else None)
    del with_projector["norm.bias"]
    assert FAMILY.infer(with_projector) is None


def test_a_supervised_transformer_is_not_taken_for_one_of_moco() -> None:
    with torch.device("meta"):
        other = VisionTransformer(patch_size=16, embed_dim=384, depth=12, num_heads=6)
    assert FAMILY.infer({key: tuple(tensor.shape) for key, tensor in other.state_dict().items()}) is None
