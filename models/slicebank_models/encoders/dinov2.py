"""The vision transformers of DINOv2 (Oquab et al., arXiv:2304.07193; registers: Darcet et al., arXiv:2309.16588).

Tensor names are those of the official repository; timm's files of the models without registers name them alike. The feature is the
normed class token. Positions were learned on a grid of 37 x 37 patches (518 pixels). For other sizes the official code resamples
them, bicubic: without registers not antialiased, and by the factor (n + 0.1) / 37 instead of n / 37; with registers antialiased
and to n exactly. This is done here in every forward pass, so that weights and digest stay those of the file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.errors import BadCard

PATCH = 14
GRID = 37  # 518 pixels
REGISTERS = 4
NORM_EPS = 1e-6
POSITION_OFFSET = 0.1


@dataclass(frozen=True, slots=True)
class DinoLayout:
    """Width, depth and heads of one size; the giant one has gated MLPs."""

    dim: int
    depth: int
    heads: int
    gated: bool = False
    registers: int = 0


_SIZES = {
    "dinov2_vits14": (384, 12, 6, False),
    "dinov2_vitb14": (768, 12, 12, False),
    "dinov2_vitl14": (1024, 24, 16, False),
    "dinov2_vitg14": (1536, 40, 24, True),
}
LAYOUTS: Mapping[str, DinoLayout] = MappingProxyType(
    {name: DinoLayout(*size) for name, size in _SIZES.items()}
    | {f"{name}_reg": DinoLayout(*size, REGISTERS) for name, size in _SIZES.items()}
)


class Attention(nn.Module):
    """Self-attention with one projection to queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) to (B, T, dim)."""
        batch, length, dim = tokens.shape
        packed = self.qkv(tokens.to(self.qkv.weight.dtype)).view(batch, length, 3, self.heads, dim // self.heads)
        queries, keys, values = packed.permute(2, 0, 3, 1, 4)  # (B, heads, T, dim / heads) each
        mixed = F.scaled_dot_product_attention(queries, keys, values)
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


class GatedMlp(nn.Module):
    """SwiGLU: one half of the first layer, through SiLU, times the other (Shazeer, arXiv:2002.05202)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = (4 * dim * 2 // 3 + 7) // 8 * 8  # two thirds of the plain width, a multiple of eight
        self.w12 = nn.Linear(dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) to (B, T, dim)."""
        gate, values = self.w12(tokens.to(self.w12.weight.dtype)).chunk(2, dim=-1)
        hidden: Tensor = self.w3(F.silu(gate) * values)
        return hidden


class LayerScale(nn.Module):
    """One learned factor a channel at the end of a branch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Multiplies (B, T, dim) in float32."""
        return tokens.to(torch.float32) * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block with scaled branches."""

    def __init__(self, layout: DinoLayout) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(layout.dim, eps=NORM_EPS)
        self.attn = Attention(layout.dim, layout.heads)
        self.ls1 = LayerScale(layout.dim)
        self.norm2 = nn.LayerNorm(layout.dim, eps=NORM_EPS)
        self.mlp = GatedMlp(layout.dim) if layout.gated else Mlp(layout.dim)
        self.ls2 = LayerScale(layout.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, dim) float32 to the same; branches may run in bfloat16."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        summed: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return summed


class PatchEmbedding(nn.Module):
    """Non-overlapping patches of 14 x 14 pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) into (B, (S / 14)^2, dim), row by row."""
        grid: Tensor = self.proj(images)
        return grid.flatten(2).transpose(1, 2)


class DinoViT(nn.Module):
    """The encoder under the official names."""

    def __init__(self, layout: DinoLayout) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, layout.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, layout.dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, layout.registers, layout.dim)) if layout.registers else None
        self.patch_embed = PatchEmbedding(layout.dim)
        self.blocks = nn.Sequential(*(Block(layout) for _ in range(layout.depth)))
        self.norm = nn.LayerNorm(layout.dim, eps=NORM_EPS)

    def positions(self, side: int) -> Tensor:
        """Returns (1, 1 + side * side, dim) positions: the class token's, then the patches' row by row."""
        if side == GRID:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, GRID, GRID)  # (1, dim, 37, 37)
        if self.register_tokens is None:
            factor = (side + POSITION_OFFSET) / GRID
            grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
        else:
            grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) float32 into the (B, dim) float32 normed class token."""
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = tokens + self.positions(images.shape[-1] // PATCH)
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        token: Tensor = self.norm(self.blocks(tokens)[:, 0])
        return token


class DinoV2Encoder(SliceEncoder):
    """A DINOv2 transformer on grey rows."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: DinoViT

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        if input_size % PATCH:
            raise BadCard(f"{architecture} takes images whose side is a multiple of {PATCH} pixels, not {input_size}.")
        layout = LAYOUTS[architecture]
        super().__init__(dim=layout.dim, input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = DinoViT(layout)

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the four linear layers of every block."""
        for block in self.trunk.blocks:
            yield from (module for module in block.modules() if isinstance(module, nn.Linear))

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        features: Tensor = self.trunk(self.channels(rows))
        return features


def _key(key: str) -> str | DroppedKey:
    if key == "mask_token":
        return DroppedKey(key, "mask token of the pre-training")
    if key.startswith(("dino_head.", "ibot_head.")):
        return DroppedKey(key, "projector of the pre-training")
    return key


def _timm_gated_key(key: str) -> str | DroppedKey:
    """Names of timm, which calls the layers of gated MLPs as those of plain ones."""
    return key.replace(".mlp.fc1.", ".mlp.w12.").replace(".mlp.fc2.", ".mlp.w3.") if key != "mask_token" else _key(key)


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    timm_gated = LAYOUTS[architecture].gated and not any(".mlp.w12." in key for key in keys)
    return _timm_gated_key if timm_gated else _key


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Tells DINOv2 by its grid of positions and its scaled branches, and the size by width, depth and registers."""
    positions = shapes.get("pos_embed", ())
    if len(positions) != 3 or positions[1] != 1 + GRID * GRID or "blocks.0.ls1.gamma" not in shapes:
        return None
    depth = 1 + max(
        int(key.split(".")[1]) for key in shapes if key.startswith("blocks.") and key.split(".")[1].isdigit()
    )
    registers = shapes.get("register_tokens", (1, 0, 0))[1]
    for name, layout in LAYOUTS.items():
        if (layout.dim, layout.depth, layout.registers) == (positions[2], depth, registers):
            return name
    return None


def _build(card: EncoderCard) -> DinoV2Encoder:
    return DinoV2Encoder(card.architecture, input_size=card.input_size, mean=card.mean, std=card.std)


FAMILY = EncoderFamily(tuple(LAYOUTS), _build, _key_rules, _infer)
