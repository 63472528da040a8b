"""Hiera (Ryali et al., arXiv:2306.00989) as SAM 2 has it (Ravi et al., arXiv:2408.00714), under its official names.

A transformer in four stages at strides 4, 8, 16 and 32. Attention stays within windows except in a few blocks; the first
block of a stage pools its queries 2 x 2 and still has the windows of the stage before. A grid that windows do not divide is
padded with zeros *after* the norm, and padding takes part in attention: its keys and values are the biases of their
projections. At 224 pixels this happens in `large`, whose windows of 16 and 8 meet grids of 14 and 7.

Positions are a coarse embedding, resampled bicubically to the grid, plus one of a window, repeated over it. So the input may
have any side that is a multiple of 32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 32  # of the last stage
NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class HieraLayout:
    """One size of the trunk; width and heads double at every stage.

    Attributes:
        dim: Width of the first stage.
        heads: Attention heads of the first stage.
        depths: Blocks per stage.
        global_blocks: Numbers, counted through all stages, of the blocks whose attention has no windows.
        windows: Side of a window per stage, in positions of that stage.
        position_side: Side of the coarse position embedding.
    """

    dim: int
    heads: int
    depths: tuple[int, int, int, int]
    global_blocks: tuple[int, int, int]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    position_side: int = 7


LAYOUTS: Mapping[str, HieraLayout] = MappingProxyType(
    {
        "sam2_hiera_tiny": HieraLayout(96, 1, (1, 2, 7, 2), (5, 7, 9)),
        "sam2_hiera_small": HieraLayout(96, 1, (1, 2, 11, 2), (7, 10, 13)),
        "sam2_hiera_base_plus": HieraLayout(112, 2, (2, 3, 16, 3), (12, 16, 20), position_side=14),
        "sam2_hiera_large": HieraLayout(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    }
)


def split_windows(tokens: Tensor, side: int) -> Tensor:
    """Cuts (B, H, W, C) into (B * windows, side, side, C), row by row, padding H and W at their ends with zeros."""
    batch, height, width, dim = tokens.shape
    padded = F.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = padded.shape[1] // side, padded.shape[2] // side
    windows = padded.view(batch, rows, side, columns, side, dim).transpose(2, 3)
    return windows.reshape(batch * rows * columns, side, side, dim)


def join_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Puts what `split_windows` cut together again and crops it to (B, height, width, C)."""
    side, dim = windows.shape[1], windows.shape[3]
    rows, columns = -(-height // side), -(-width // side)
    grid = windows.view(-1, rows, columns, side, side, dim).transpose(2, 3)
    return grid.reshape(-1, rows * side, columns * side, dim)[:, :height, :width]


def pool_positions(tokens: Tensor) -> Tensor:
    """Takes the largest of 2 x 2 positions, per channel: (B, H, W, C) to (B, H / 2, W / 2, C)."""
    return F.max_pool2d(tokens.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Self-attention over all positions of its input, which may be one window."""

    def __init__(self, dim: int, dim_out: int, heads: int, *, pools: bool) -> None:
        super().__init__()
        self.heads = heads
        self.pools = pools
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, H, W, dim) to (B, H, W, dim_out), or to half of H and W where queries are pooled."""
        queries, keys, values = self.qkv(tokens.to(self.qkv.weight.dtype)).chunk(3, dim=-1)
        if self.pools:
            queries = pool_positions(queries)
        mixed = F.scaled_dot_product_attention(self._heads(queries), self._heads(keys), self._heads(values))
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(queries.shape))
        return projected

    def _heads(self, tokens: Tensor) -> Tensor:
        """(B, H, W, C) to (B, heads, H * W, C / heads)."""
        batch, height, width, dim = tokens.shape
        return tokens.reshape(batch, height * width, self.heads, dim // self.heads).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers, four times wider between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)])

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (..., dim) to the same."""
        widen, narrow = self.layers
        narrowed: Tensor = narrow(F.gelu(widen(tokens.to(widen.weight.dtype))))  # type: ignore[arg-type]
        return narrowed


class Block(nn.Module):
    """Pre-norm block; where the width changes, the shortcut is the projected and pooled norm of the input."""

    def __init__(self, dim: int, dim_out: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.changes = dim != dim_out
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, dim_out, heads, pools=self.changes)
        self.norm2 = nn.LayerNorm(dim_out, eps=NORM_EPS)
        self.mlp = Mlp(dim_out)
        if self.changes:
            self.proj = nn.Linear(dim, dim_out)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, H, W, dim) float32 to (B, H, W, dim_out), halved where the width changes; their sum stays float32."""
        normed = self.norm1(tokens)
        shortcut = pool_positions(self.proj(normed)) if self.changes else tokens
        if self.window:
            windows = self.attn(split_windows(normed, self.window))
            attended = join_windows(windows, shortcut.shape[1], shortcut.shape[2])
        else:
            attended = self.attn(normed)
        tokens = shortcut + attended
        summed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return summed


class PatchEmbedding(nn.Module):
    """Overlapping 7 x 7 patches, 4 pixels apart."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 7, stride=4, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) into (B, S / 4, S / 4, dim)."""
        grid: Tensor = self.proj(images)
        return grid.permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """The trunk: what each stage ends with, the finest first."""

    def __init__(self, layout: HieraLayout) -> None:
        super().__init__()
        self.depths = layout.depths
        self.pos_embed = nn.Parameter(torch.zeros(1, layout.dim, layout.position_side, layout.position_side))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, layout.dim, layout.windows[0], layout.windows[0]))
        self.patch_embed = PatchEmbedding(layout.dim)
        blocks: list[Block] = []
        for stage, depth in enumerate(layout.depths):
            for place in range(depth):
                first = stage > 0 and place == 0
                window = layout.windows[stage - 1 if first else stage]
                dim_out = layout.dim * 2**stage
                dim = dim_out // 2 if first else dim_out
                windowed = len(blocks) not in layout.global_blocks
                blocks.append(Block(dim, dim_out, layout.heads * 2**stage, window if windowed else 0))
        self.blocks = nn.ModuleList(blocks)

    def positions(self, side: int) -> Tensor:
        """Returns the (1, side, side, dim) embedding of positions."""
        coarse = F.interpolate(self.pos_embed, size=(side, side), mode="bicubic")
        repeats = side // self.pos_embed_window.shape[-1]
        return (coarse + self.pos_embed_window.tile(1, 1, repeats, repeats)).permute(0, 2, 3, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turns (B, 3, S, S) float32 into four (B, S / stride, S / stride, width)."""
        tokens: Tensor = self.patch_embed(images)
        tokens = tokens + self.positions(tokens.shape[1])
        blocks = iter(self.blocks)
        stages: list[Tensor] = []
        for depth in self.depths:
            for _ in range(depth):
                tokens = next(blocks)(tokens)
            stages.append(tokens)
        return stages
