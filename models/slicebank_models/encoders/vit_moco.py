"""The vision transformers of MoCo v3 (Chen, Xie and He, arXiv:2104.02057), under the parameter names of its repository.

Fixed 2D sine-cosine positions, 12 heads in every size, and for the `conv` forms a convolutional stem in place of the
patch projection and of one block (Xiao et al., arXiv:2106.14881). The feature is the normed class token.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.contrastive_keys import head_reason
from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder

PATCH = 16
HEADS = 12  # also for the small forms, unlike DeiT-S
NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class ViTLayout:
    """Width, depth and stem of one form."""

    dim: int
    depth: int
    conv_stem: bool


LAYOUTS: Mapping[str, ViTLayout] = MappingProxyType(
    {
        "vit_small": ViTLayout(384, 12, False),
        "vit_base": ViTLayout(768, 12, False),
        "vit_conv_small": ViTLayout(384, 11, True),
        "vit_conv_base": ViTLayout(768, 11, True),
    }
)


def sincos_positions(dim: int, side: int, temperature: float = 10000.0) -> Tensor:
    """Returns (1, 1 + side * side, dim) position embeddings: zeros for the class token, then the patches row by row.

    The first half of a vector encodes the row and the second the column: the original calls them `w` and `h` and
    fills them the other way round, which on its square grids is this. Computed in Python's float64 and rounded once,
    because vectorised float32 sines differ between machines.
    """
    quarter = dim // 4
    omega = [temperature ** (-step / quarter) for step in range(quarter)]
    waves = torch.tensor(
        [[math.sin(at * w) for w in omega] + [math.cos(at * w) for w in omega] for at in range(side)],
        dtype=torch.float64,
    ).to(torch.float32)  # (side, dim / 2)
    patches = torch.cat([waves.repeat_interleave(side, dim=0), waves.repeat(side, 1)], dim=1)
    return torch.cat([torch.zeros(1, dim), patches]).unsqueeze(0)


class PatchEmbedding(nn.Module):
    """Non-overlapping 16 x 16 patches, or four strided convolutions with the same total stride."""

    def __init__(self, dim: int, *, conv_stem: bool) -> None:
        super().__init__()
        self.proj = _conv_stem(dim) if conv_stem else nn.Conv2d(3, dim, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) into (B, (S / 16)^2, dim), row by row."""
        grid: Tensor = self.proj(images)
        return grid.flatten(2).transpose(1, 2)


def _conv_stem(dim: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width in (dim // 8, dim // 4, dim // 2, dim):
        layers += [
            nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(dim, dim, 1))


class Attention(nn.Module):
    """Multi-head self-attention with one joint projection to queries, keys and values."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) to (B, T, dim)."""
        batch, length, dim = tokens.shape
        queries, keys, values = (
            self.qkv(tokens.to(self.qkv.weight.dtype))
            .view(batch, length, 3, HEADS, dim // HEADS)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values)  # (B, heads, T, dim / heads)
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return joined


class Mlp(nn.Module):
    """Two linear layers, four times wider between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) to (B, T, dim)."""
        hidden: Tensor = self.fc2(F.gelu(self.fc1(tokens.to(self.fc1.weight.dtype))))
        return hidden


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) float32 to the same; branches may run in bfloat16, their sum stays in float32."""
        tokens = tokens + self.attn(self.norm1(tokens))
        summed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return summed


class MoCoViT(nn.Module):
    """The encoder without projector, as `base_encoder` without `head`."""

    def __init__(self, layout: ViTLayout, input_size: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, layout.dim))
        self.pos_embed = nn.Parameter(sincos_positions(layout.dim, input_size // PATCH), requires_grad=False)
        self.patch_embed = PatchEmbedding(layout.dim, conv_stem=layout.conv_stem)
        self.blocks = nn.Sequential(*(Block(layout.dim) for _ in range(layout.depth)))
        self.norm = nn.LayerNorm(layout.dim, eps=NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) float32 into the (B, dim) float32 normed class token."""
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        tokens = self.blocks(tokens)
        token: Tensor = self.norm(tokens[:, 0])
        return token


class MoCoViTEncoder(SliceEncoder):
    """A MoCo v3 transformer on grey rows."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8
    fixed_tensors: ClassVar[frozenset[str]] = frozenset({"pos_embed"})

    trunk: MoCoViT

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        layout = LAYOUTS[architecture]
        super().__init__(dim=layout.dim, input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = MoCoViT(layout, input_size)

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the four linear layers of every block."""
        for block in self.trunk.blocks:
            yield from (block.get_submodule(name) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"))

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        features: Tensor = self.trunk(self.channels(rows))
        return features


def _key(key: str) -> str | DroppedKey:
    return DroppedKey(key, head_reason(key)) if key.startswith(("head.", "fc.")) else key


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture, keys  # one naming for all
    return _key


def _build(card: EncoderCard) -> MoCoViTEncoder:
    return MoCoViTEncoder(card.architecture, input_size=card.input_size, mean=card.mean, std=card.std)


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Tells the form where the file is surely of MoCo v3.

    Without a convolutional stem and without a projector, a file has the tensors of any vision transformer, of which the
    small ones mostly have 6 heads: a guess would give wrong features without an error.
    """
    conv_stem = "patch_embed.proj.12.weight" in shapes
    if not conv_stem and "head.0.weight" not in shapes:
        return None
    named = {name: shape for key, shape in shapes.items() if isinstance(name := _key(key), str)}
    named = {name: shape for name, shape in named.items() if TRAINING_COUNTER not in name}
    positions = named.pop("pos_embed", ())
    if len(positions) != 3 or math.isqrt(positions[1] - 1 if positions[1] else 0) ** 2 + 1 != positions[1]:
        return None
    for architecture, layout in LAYOUTS.items():
        if layout.conv_stem == conv_stem and named.get("cls_token") == (1, 1, layout.dim):
            with torch.device("meta"):
                expected = MoCoViT(layout, PATCH).state_dict()
            shapes_of = {name: tuple(tensor.shape) for name, tensor in expected.items() if TRAINING_COUNTER not in name}
            del shapes_of["pos_embed"]  # of any grid
            if positions == (1, positions[1], layout.dim) and named == shapes_of:
                return architecture
    return None


FAMILY = EncoderFamily(tuple(LAYOUTS), _build, _key_rules, _infer)
