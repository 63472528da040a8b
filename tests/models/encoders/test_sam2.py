from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.builtin.sam2 import CARDS
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.hiera import LAYOUTS, Block, join_windows, split_windows
from slicebank_models.encoders.sam2 import FAMILY, Sam2Encoder
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import BadCard

GREY = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny(input_size: int) -> Sam2Encoder:
    encoder = Sam2Encoder("sam2_hiera_tiny", input_size=input_size, **GREY).eval()
    encoder.set_weights(seeded_weights(0, encoder.weights()))
    return encoder


@pytest.mark.parametrize(
    ("name", "parameters", "depth"),
    [
        ("sam2_hiera_tiny", 27_219_136, 12),
        ("sam2_hiera_small", 34_316_992, 16),
        ("sam2_hiera_base_plus", 69_106_816, 24),
        ("sam2_hiera_large", 212_703_280, 48),
    ],
)
def test_sizes_are_the_official_ones_and_recognised(name: str, parameters: int, depth: int) -> None:
    with torch.device("meta"):
        weights = Sam2Encoder(name, input_size=224, **GREY).weights()
    assert sum(tensor.numel() for tensor in weights.values()) == parameters
    assert len({key.split(".")[3] for key in weights if ".blocks." in key}) == depth
    assert FAMILY.infer({key: tuple(tensor.shape) for key, tensor in weights.items()}) == name
    assert FAMILY.infer(dict.fromkeys(weights, (1,))) is None


def test_large_with_its_neck_has_the_213_million_parameters_of_the_paper() -> None:
    assert {round(card.parameters / 1e6) for card in CARDS if card.architecture == "sam2_hiera_large"} == {213}


def test_the_first_block_of_a_stage_keeps_the_windows_of_the_stage_before() -> None:
    with torch.device("meta"):
        blocks = Sam2Encoder("sam2_hiera_large", input_size=224, **GREY).trunk.image_encoder.trunk.blocks
    windows = [block.window for block in blocks]
    assert windows[:8] == [8, 8, 8, 4, 4, 4, 4, 4]
    assert windows[8:10] == [4, 16]
    assert windows[44:] == [16, 8, 8, 8]
    assert [number for number, window in enumerate(windows) if window == 0] == [23, 33, 43]


def test_windows_are_padded_with_zeros_at_their_ends() -> None:
    tokens = numbers(2, 5, 7, 3)
    windows = split_windows(tokens, 4)
    assert windows.shape == (2 * 2 * 2, 4, 4, 3)
    assert torch.equal(windows[1, :, :3], tokens[0, :4, 4:])
    assert not windows[1, :, 3].any()
    assert torch.equal(windows[7, 0, :3], tokens[1, 4, 4:])
    assert torch.equal(join_windows(windows, 5, 7), tokens)


def block_in_words(block: Block, tokens: Tensor) -> Tensor:
    """A block that pools, position by position and head by head; padding attends as zeros that only biases fill."""
    height, width, side, heads = *tokens.shape[:2], block.window, block.attn.heads
    normed = block.norm1(tokens)
    shortcut = block.proj(normed)
    out = torch.zeros(height // 2, width // 2, shortcut.shape[-1])
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = torch.zeros(side, side, tokens.shape[-1])
            part = normed[top : top + side, left : left + side]
            window[: part.shape[0], : part.shape[1]] = part
            queries, keys, values = (window @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(
                out.shape[-1], dim=-1
            )
            for y in range(0, part.shape[0], 2):
                for x in range(0, part.shape[1], 2):
                    query = queries[y : y + 2, x : x + 2].amax(dim=(0, 1)).view(heads, -1)
                    mixed = []
                    for head, one in enumerate(query):
                        at = slice(head * len(one), (head + 1) * len(one))
                        scores = (keys[..., at] @ one).flatten() / math.sqrt(len(one))
                        mixed.append(scores.softmax(0) @ values[..., at].flatten(0, 1))
                    place = shortcut[top + y : top + y + 2, left + x : left + x + 2].amax(dim=(0, 1))
                    out[(top + y) // 2, (left + x) // 2] = place + block.attn.proj(torch.cat(mixed))
    widen, narrow = block.mlp.layers
    return out + narrow(F.gelu(widen(block.norm2(out))))


def test_a_pooling_block_with_padded_windows_is_attention_in_words() -> None:
    torch.manual_seed(0)
    block = Block(6, 12, 2, window=4).eval()
    tokens = numbers(2, 6, 10, 6)
    with torch.inference_mode():
        expected = torch.stack([block_in_words(block, one) for one in tokens])
        torch.testing.assert_close(block(tokens), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_a_coarse_embedding_resampled_plus_a_window_repeated() -> None:
    trunk = tiny(224).trunk.image_encoder.trunk
    with torch.inference_mode():
        trunk.pos_embed.fill_(3.0)
        trunk.pos_embed_window.copy_(numbers(1, 96, 8, 8))
        positions = trunk.positions(56)
        torch.testing.assert_close(positions[0, 41, 18], 3.0 + trunk.pos_embed_window[0, :, 1, 2])


def test_the_feature_averages_vision_features_and_depends_on_no_finer_level() -> None:
    encoder = tiny(64)
    rows = torch.arange(2 * 64 * 64).view(2, 64, 64).remainder(251).to(torch.uint8)
    with torch.inference_mode():
        features = encoder(rows)
        maps = encoder.trunk.image_encoder(encoder.channels(rows))
        assert maps.shape == (2, 256, 4, 4)
        torch.testing.assert_close(features, maps.flatten(2).mean(dim=2))
        for number in (2, 3):
            for parameter in encoder.trunk.image_encoder.neck.convs[number].parameters():
                parameter.zero_()
        assert torch.equal(encoder(rows), features)


def test_sides_that_windows_cannot_tile_are_refused() -> None:
    with pytest.raises(BadCard, match="multiple of 32"):
        Sam2Encoder("sam2_hiera_tiny", input_size=240, **GREY)


def test_only_the_matrices_of_blocks_are_lowered() -> None:
    with torch.device("meta"):
        encoder = Sam2Encoder("sam2_hiera_tiny", input_size=224, **GREY)
    encoder.lower(torch.bfloat16)
    lowered = {name for name, parameter in encoder.trunk.named_parameters() if parameter.dtype == torch.bfloat16}
    assert lowered == {name for name in encoder.weights() if ".attn." in name or ".mlp." in name}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("vision_encoder.backbone.pos_embed_window", "image_encoder.trunk.pos_embed_window"),
        ("vision_encoder.backbone.patch_embed.projection.bias", "image_encoder.trunk.patch_embed.proj.bias"),
        ("vision_encoder.backbone.blocks.1.layer_norm2.bias", "image_encoder.trunk.blocks.1.norm2.bias"),
        ("vision_encoder.backbone.blocks.1.proj.weight", "image_encoder.trunk.blocks.1.proj.weight"),
        ("vision_encoder.backbone.blocks.1.mlp.proj_out.weight", "image_encoder.trunk.blocks.1.mlp.layers.1.weight"),
        ("vision_encoder.neck.convs.3.weight", "image_encoder.neck.convs.3.conv.weight"),
        ("no_memory_embedding", DroppedKey("no_memory_embedding", "memory of video frames")),
        ("mask_decoder.iou_token.weight", DroppedKey("mask_decoder.iou_token.weight", "mask decoder")),
        ("something_new.weight", "something_new.weight"),
    ],
)
def test_names_of_transformers_become_official_ones(key: str, expected: str | DroppedKey) -> None:
    rule = FAMILY.key_rules("sam2_hiera_tiny", frozenset({"vision_encoder.backbone.pos_embed", key}))
    assert rule(key) == expected


def test_layouts_and_cards_agree() -> None:
    published = {card.id: card for card in CARDS if card.source is not None}
    assert set(published) == {*LAYOUTS, *(f"{name}.sam2_1" for name in LAYOUTS)}
    source = published["sam2_hiera_base_plus.sam2_1"].source
    assert source is not None
    assert (source.repo, source.file) == ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus.pt")
