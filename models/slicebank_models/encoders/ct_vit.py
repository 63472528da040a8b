"""The image transformer of CT-CLIP (Hamamci et al., arXiv:2403.17834) under the parameter names of its repository.

A volume of frames is cut into patches of 10 x 20 x 20 voxels. Four blocks mix the patches of each group of ten frames
(with a learnt bias by distance), four more mix each place over the groups. Every token is then replaced by the code of
a codebook that points most nearly in its direction, the codes are averaged over the groups, and one large matrix maps
the codes of all places to the latent vector.

Two properties of the original decide the numbers and are kept:

- The position convolution of the blocks over time reads tokens that lie place by place as if they lay frame by frame.
  The weights were trained that way.
- Keys and values are made from the tokens as they come, queries from the normed ones.

The original's image side has more tensors than its output depends on: `key_rules` in `ct_clip.py` names them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM = 512
HEADS = 8
HEAD_DIM = 32
DEPTH = 4
CODES = 8192
PATCH = 20  # pixels
PATCH_FRAMES = 10
HIDDEN = int(4 * (2 / 3) * DIM)
ATTENTION_SCALE = 8.0  # in place of 1 / sqrt(head dimension): queries and keys are unit vectors
FRAMES_AT_ONCE = 4  # groups of frames, to bound memory: nothing inside a block but attention over time crosses groups
TOKENS_AT_ONCE = 2048  # whose products with all codes are held


class Norm(nn.Module):
    """Layer norm with a learnt scale and a stored shift."""

    beta: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(DIM))
        self.register_buffer("beta", torch.zeros(DIM))

    def forward(self, tokens: Tensor) -> Tensor:
        """Norms the last axis of (..., DIM)."""
        return F.layer_norm(tokens, (DIM,), self.gamma, self.beta)


class PositionConvolution(nn.Module):
    """A depthwise 3 x 3 x 3 convolution that sees no later frame."""

    def __init__(self) -> None:
        super().__init__()
        self.dsconv = nn.Conv3d(DIM, DIM, 3, groups=DIM)

    def forward(self, tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Maps tokens of any leading shape to the same, read in memory order as (frames, rows, columns) of `grid`."""
        volume = tokens.reshape(*grid, DIM).permute(3, 0, 1, 2)
        convolved: Tensor = self.dsconv(F.pad(volume, (1, 1, 1, 1, 2, 0)).unsqueeze(0))
        return convolved.squeeze(0).permute(1, 2, 3, 0).reshape(tokens.shape)


class Attention(nn.Module):
    """Self-attention by cosine, with learnt scales a channel of the heads."""

    def __init__(self) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.norm = Norm()
        self.to_q = nn.Linear(DIM, inner, bias=False)
        self.to_kv = nn.Linear(DIM, 2 * inner, bias=False)
        self.q_scale = nn.Parameter(torch.ones(HEAD_DIM))
        self.k_scale = nn.Parameter(torch.ones(HEAD_DIM))
        self.to_out = nn.Linear(inner, DIM, bias=False)

    def forward(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Maps (B, T, DIM) to the same; `bias` (heads, T, T) is added to the logits."""
        keys, values = (self._heads(part) for part in self.to_kv(tokens).chunk(2, dim=-1))
        queries = F.normalize(self._heads(self.to_q(self.norm(tokens))), dim=-1) * self.q_scale
        keys = F.normalize(keys, dim=-1) * self.k_scale
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=ATTENTION_SCALE)
        joined: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return joined

    @staticmethod
    def _heads(projected: Tensor) -> Tensor:
        """(B, T, heads x channels) as (B, heads, T, channels)."""
        return projected.view(*projected.shape[:-1], HEADS, HEAD_DIM).transpose(1, 2)


class GatedLinear(nn.Module):
    """Halves the channels: the first half times GELU of the second."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps (..., 2 C) to (..., C)."""
        passed, gate = hidden.chunk(2, dim=-1)
        return F.gelu(gate) * passed


class Transformer(nn.Module):
    """Blocks of position convolution, attention and a gated layer, each added to its input, and a last norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self._block() for _ in range(DEPTH))
        self.norm_out = Norm()

    @staticmethod
    def _block() -> nn.ModuleList:
        """The parts of one block at the places that they have in checkpoints: 2 is of cross-attention, absent here."""
        feed_forward = nn.Sequential(
            nn.LayerNorm(DIM),
            nn.Linear(DIM, 2 * HIDDEN, bias=False),
            GatedLinear(),
            nn.Identity(),  # the original's dropout
            nn.Linear(HIDDEN, DIM, bias=False),
        )
        return nn.ModuleList([PositionConvolution(), Attention(), nn.Identity(), feed_forward])

    def forward(self, tokens: Tensor, grid: tuple[int, int, int], bias: Tensor | None = None) -> Tensor:
        """Maps (sequences, T, DIM) tokens of one volume to the same.

        Args:
            tokens: Sequences attend within themselves.
            grid: (frames, rows, columns) as which the position convolution reads all tokens.
            bias: (heads, T, T), added to the attention logits.
        """
        for block in self.layers:
            position, attention, _, feed_forward = block.children()
            tokens = tokens + position(tokens, grid)
            at_once = max(1, FRAMES_AT_ONCE * grid[1] * grid[2] // tokens.shape[1])
            mixed = []
            for part in torch.split(tokens, at_once):
                attended = part + attention(part, bias)
                mixed.append(attended + feed_forward(attended))
            tokens = torch.cat(mixed)
        normed: Tensor = self.norm_out(tokens)
        return normed


class DistanceBias(nn.Module):
    """Attention bias from a small network over signed log distances of rows and columns (as in Swin v2)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(2, DIM), nn.LeakyReLU(0.1)),
                nn.Sequential(nn.Linear(DIM, DIM), nn.LeakyReLU(0.1)),
                nn.Linear(DIM, HEADS),
            ]
        )

    def forward(self, rows: int, columns: int) -> Tensor:
        """Returns (heads, T, T) for T = rows x columns tokens; each distance is worked out once."""
        device = next(self.parameters()).device
        down = torch.arange(1 - rows, rows, device=device)
        across = torch.arange(1 - columns, columns, device=device)
        steps = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1).to(torch.float32)
        values: Tensor = torch.sign(steps) * torch.log(steps.abs() + 1.0)
        for layer in self.net:
            values = layer(values)  # (2 rows - 1, 2 columns - 1, heads) in the end
        y = torch.arange(rows, device=device).repeat_interleave(columns)
        x = torch.arange(columns, device=device).repeat(rows)
        between = (y.unsqueeze(1) - y + rows - 1, x.unsqueeze(1) - x + columns - 1)
        return values[between].permute(2, 0, 1).contiguous()


class Codebook(nn.Module):
    """The codes; they are compared by direction and given out as stored."""

    embed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(1, CODES, DIM))

    def nearest(self, tokens: Tensor) -> Tensor:
        """Returns for (N, DIM) tokens the (N,) numbers of the codes with the largest cosine."""
        codes = F.normalize(self.embed[0], dim=-1).t()
        parts = torch.split(F.normalize(tokens, dim=-1), TOKENS_AT_ONCE)
        return torch.cat([(part @ codes).argmax(dim=-1) for part in parts])


class Quantiser(nn.Module):
    """Holds the codebook under its name in checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self._codebook = Codebook()

    def forward(self, tokens: Tensor) -> Tensor:
        """Replaces (N, DIM) tokens by their nearest codes."""
        return self._codebook.embed[0][self._codebook.nearest(tokens)]


class CTViT(nn.Module):
    """The transformer up to its quantised tokens."""

    def __init__(self) -> None:
        super().__init__()
        voxels = PATCH_FRAMES * PATCH * PATCH
        self.spatial_rel_pos_bias = DistanceBias()
        # Place 0 is the cutting into patches, which has no weights.
        self.to_patch_emb = nn.Sequential(
            nn.Identity(), nn.LayerNorm(voxels), nn.Linear(voxels, DIM), nn.LayerNorm(DIM)
        )
        self.enc_spatial_transformer = Transformer()
        self.enc_temporal_transformer = Transformer()
        self.vq = Quantiser()

    def patches(self, volume: Tensor) -> Iterator[Tensor]:
        """Yields (groups, rows, columns, voxels of a patch) of a (frames, H, W) volume, some groups at a time."""
        frames, height, width = volume.shape
        cut = volume.reshape(frames // PATCH_FRAMES, PATCH_FRAMES, height // PATCH, PATCH, width // PATCH, PATCH)
        for groups in torch.split(cut.permute(0, 2, 4, 1, 3, 5), FRAMES_AT_ONCE):
            yield groups.flatten(3)

    def tokens(self, volume: Tensor) -> Tensor:
        """Encodes one (frames, H, W) volume to (groups, rows, columns, DIM), not yet quantised."""
        embedded = torch.cat([self.to_patch_emb(patches) for patches in self.patches(volume)])
        groups, rows, columns, _ = embedded.shape
        grid = (groups, rows, columns)
        mixed = self.enc_spatial_transformer(embedded.flatten(1, 2), grid, self.spatial_rel_pos_bias(rows, columns))
        by_place: Tensor = mixed.transpose(0, 1).contiguous()  # (places, groups, DIM)
        by_place = self.enc_temporal_transformer(by_place, grid)
        return by_place.transpose(0, 1).reshape(*grid, DIM)

    def forward(self, volume: Tensor) -> Tensor:
        """Encodes one (frames, H, W) volume to (groups, rows, columns, DIM) codes."""
        tokens = self.tokens(volume)
        codes: Tensor = self.vq(tokens.flatten(0, 2))
        return codes.view(tokens.shape)


class CTClipImage(nn.Module):
    """The image side of CT-CLIP: transformer and projection to the latent."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.visual_transformer = CTViT()
        places = (height // PATCH) * (width // PATCH)
        # 151 M numbers at the real size: drawing them only to overwrite them takes seconds.
        self.to_visual_latent = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, places * DIM, DIM, bias=False
        )

    def forward(self, volumes: Tensor) -> Tensor:
        """Encodes (B, frames, H, W) volumes to (B, DIM) unit vectors.

        One volume at a time: a token between two codes goes to the one or the other by the last bit, and the last bit
        of a matrix product depends on how many volumes share it.
        """
        matrix: nn.Linear = self.to_visual_latent
        latents = []
        for volume in volumes:
            codes = self.visual_transformer(volume).mean(dim=0).flatten().unsqueeze(0)
            latents.append(matrix(codes.to(matrix.weight.dtype)).to(torch.float32))
        return F.normalize(torch.cat(latents), dim=-1)
