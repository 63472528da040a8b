"""The image tower of BiomedCLIP (Zhang et al., arXiv:2303.00915): a ViT-B/16 and a linear projection to 512 numbers.

open_clip builds it around timm's `vit_base_patch16_224`, whose layers are used here under open_clip's names: learned
positions, normed class token, then `head.proj` without bias. The feature is what `encode_image` gives by default: the
projection, not scaled to unit length (attention heads learn from lengths too; who wants unit vectors can divide later).
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder

ARCHITECTURE = "biomedclip"
DIM = 512
WIDTH = 768
PATCH = 16


class VisualTower(nn.Module):
    """open_clip's `visual`: timm's transformer as `trunk`, the projection as `head.proj`."""

    trunk: VisionTransformer

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.trunk = VisionTransformer(
            img_size=input_size, patch_size=PATCH, num_classes=0, global_pool="token", weight_init="skip"
        )
        self.head = nn.Sequential()
        self.head.add_module("proj", nn.Linear(WIDTH, DIM, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) float32 into (B, 512) float32."""
        patches = self.trunk.patch_embed(images)  # (B, (S / 16)^2, 768)
        cls_token = self.trunk.get_parameter("cls_token").expand(len(images), -1, -1)
        tokens = torch.cat([cls_token, patches], dim=1) + self.trunk.get_parameter("pos_embed")
        for block in self.trunk.blocks:
            tokens = _add_branches(block, tokens)
        projected: Tensor = self.head(self.trunk.norm(tokens[:, 0]))
        return projected


def _add_branches(block: nn.Module, tokens: Tensor) -> Tensor:
    """One pre-norm block on (B, T, 768) float32; its branches may run in bfloat16, their sum stays in float32."""
    for norm, branch, first in (("norm1", "attn", "attn.qkv"), ("norm2", "mlp", "mlp.fc1")):
        dtype = block.get_parameter(f"{first}.weight").dtype
        tokens = tokens + block.get_submodule(branch)(block.get_submodule(norm)(tokens).to(dtype))
    return tokens


class BiomedClip(nn.Module):
    """What is taken of BiomedCLIP: `visual`."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.visual = VisualTower(input_size)


class BiomedClipEncoder(SliceEncoder):
    """BiomedCLIP's image tower on grey rows."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: BiomedClip

    def __init__(self, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__(dim=DIM, input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = BiomedClip(input_size)

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the four linear layers of every block; the projection after the last norm stays as it is."""
        for block in self.trunk.visual.trunk.blocks:
            yield from (block.get_submodule(name) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"))

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, 512) float32."""
        features: Tensor = self.trunk.visual(self.channels(rows))
        return features


def _key(key: str) -> str | DroppedKey:
    if key.startswith("text."):
        return DroppedKey(key, "text tower")
    return DroppedKey(key, "temperature of the contrastive loss") if key == "logit_scale" else key


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture, keys  # one naming
    return _key


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    patches = shapes.get("visual.trunk.patch_embed.proj.weight") == (WIDTH, 3, PATCH, PATCH)
    return ARCHITECTURE if patches and shapes.get("visual.head.proj.weight") == (DIM, WIDTH) else None


def _build(card: EncoderCard) -> BiomedClipEncoder:
    return BiomedClipEncoder(input_size=card.input_size, mean=card.mean, std=card.std)


FAMILY = EncoderFamily((ARCHITECTURE,), _build, _key_rules, _infer)
