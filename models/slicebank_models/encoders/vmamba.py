"""VMamba (VSSM; Liu et al., arXiv:2401.10166) under the parameter names of its repository, pooled to one vector a slice.

Tokens stay channels last throughout; the published channel-first forms (`ln2d`) compute the same on turned axes. A block
adds a 2D selective scan and an MLP to the residual stream. The feature is the normed, then averaged map.
"""

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.contrastive_keys import head_reason
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule, Reshaped
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.scan import cross_scan

NORM_EPS = 1e-5
DIRECTIONS = 4
MLP_RATIO = 4
# Step sizes start spread over this range, and rates at -1, -2, ... (Gu and Dao, arXiv:2312.00752, section 3.6).
STEP_RANGE = (1e-3, 1e-1)


@dataclass(frozen=True, slots=True)
class VSSMLayout:
    """One form of the network.

    Attributes:
        depths: Blocks of each stage.
        dim: Channels of the first stage; each further stage has twice as many.
        states: Numbers in the state of each channel.
        ratio: Channels of the scan per channel of the block.
        gated: The scan's output is multiplied by SiLU of a second projection (`v2`; without it `v05_noz`).
        conv_bias: Whether the depthwise convolution has one.
        overlapping: Two 3 x 3 convolutions at the stem and one at each downsampling; without it patches of 4 and 2.
    """

    depths: tuple[int, ...]
    dim: int = 96
    states: int = 1
    ratio: int = 1
    gated: bool = False
    conv_bias: bool = False
    overlapping: bool = True


LAYOUTS: Mapping[str, VSSMLayout] = MappingProxyType(
    {
        # `VSSM()` of the published code, as it stands.
        "vmamba_default": VSSMLayout((2, 2, 9, 2), states=16, ratio=2, gated=True, conv_bias=True, overlapping=False),
        # The models that the repository's front page lists: s1l8 and, twice, s2l15.
        "vmamba_tiny": VSSMLayout((2, 2, 8, 2)),
        "vmamba_small": VSSMLayout((2, 2, 15, 2), ratio=2),
        "vmamba_base": VSSMLayout((2, 2, 15, 2), dim=128, ratio=2),
        # The others that it publishes.
        "vmamba_tiny_s2l5": VSSMLayout((2, 2, 5, 2), ratio=2),
        "vmamba_small_s1l20": VSSMLayout((2, 2, 20, 2)),
        "vmamba_base_s1l20": VSSMLayout((2, 2, 20, 2), dim=128),
    }
)
_MOST_BLOCKS = max(max(layout.depths) for layout in LAYOUTS.values())


class SelectiveScan2d(nn.Module):
    """Projection, depthwise convolution, scan along four orders, norm, gate, projection (`SS2D`)."""

    def __init__(self, dim: int, layout: VSSMLayout) -> None:
        super().__init__()
        self.inner, self.states, self.rank = layout.ratio * dim, layout.states, math.ceil(dim / 16)
        self.gated = layout.gated
        inner = self.inner
        self.in_proj = nn.Linear(dim, 2 * inner if layout.gated else inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=layout.conv_bias)
        self.x_proj_weight = nn.Parameter(torch.zeros(DIRECTIONS, self.rank + 2 * self.states, inner))
        self.dt_projs_weight = nn.Parameter(torch.zeros(DIRECTIONS, inner, self.rank))
        self.dt_projs_bias = nn.Parameter(_step_biases(inner).repeat(DIRECTIONS, 1))
        self.A_logs = nn.Parameter(_rate_logarithms(self.states).repeat(DIRECTIONS * inner, 1))
        self.Ds = nn.Parameter(torch.ones(DIRECTIONS * inner))
        self.out_norm = nn.LayerNorm(inner, eps=NORM_EPS)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, H, W, dim) float32 to the same shape, in the dtype of `out_proj`."""
        tokens = tokens.to(self.in_proj.weight.dtype)
        # Rows of the weight are projected apart, so that neither half is a view into a wider array.
        map_, *gate = (F.linear(tokens, rows) for rows in torch.split(self.in_proj.weight, self.inner))
        convolved = F.silu(
            self.conv2d(map_.to(self.conv2d.weight.dtype).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        ).contiguous()
        normed = self.out_norm(self.scan(convolved))
        if self.gated:
            normed = normed * F.silu(gate[0].to(normed.dtype))
        projected: Tensor = self.out_proj(normed.to(self.out_proj.weight.dtype))
        return projected

    def scan(self, image: Tensor) -> Tensor:
        """Maps (B, H, W, inner) float32 to the sum of its scans, same shape."""
        batch, height, width, inner = image.shape
        pixels = image.view(-1, inner)
        # What a direction needs at a pixel depends on that pixel alone: one product for all four.
        needs = F.linear(pixels, self.x_proj_weight.flatten(0, 1)).view(len(pixels), DIRECTIONS, -1)
        low_rank, b, c = torch.split(needs.permute(1, 0, 2), [self.rank, self.states, self.states], dim=2)
        delta = torch.bmm(low_rank, self.dt_projs_weight.transpose(1, 2))  # (4, B H W, inner)
        by_image = (DIRECTIONS, batch, height * width, -1)
        return cross_scan(
            image,
            delta.view(by_image),
            -torch.exp(self.A_logs).view(DIRECTIONS, inner, self.states),
            b.reshape(by_image),
            c.reshape(by_image),
            self.Ds.view(DIRECTIONS, inner),
            self.dt_projs_bias,
        )


def _step_biases(inner: int) -> Tensor:
    """(inner) biases whose softplus is spread geometrically over STEP_RANGE: x with log(1 + e^x) = step."""
    low, high = STEP_RANGE
    steps = [low * (high / low) ** ((at + 0.5) / inner) for at in range(inner)]
    return torch.tensor([step + math.log(-math.expm1(-step)) for step in steps], dtype=torch.float64).float()


def _rate_logarithms(states: int) -> Tensor:
    """(states): log 1, log 2, ...; the rates are minus their exponentials."""
    return torch.tensor([math.log(n + 1) for n in range(states)], dtype=torch.float64).float()


class Mlp(nn.Module):
    """Two linear layers, four times wider between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, H, W, dim) to the same shape."""
        hidden: Tensor = self.fc2(F.gelu(self.fc1(tokens.to(self.fc1.weight.dtype))))
        return hidden


class VSSBlock(nn.Module):
    """Scan and MLP, each normed first and added to its input."""

    def __init__(self, dim: int, layout: VSSMLayout) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.op = SelectiveScan2d(dim, layout)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, H, W, dim) float32 to the same; branches may run in bfloat16, their sum stays in float32."""
        tokens = tokens + self.op(self.norm(tokens))
        summed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return summed


def _convolved(convolution: nn.Module, tokens: Tensor) -> Tensor:
    found: Tensor = convolution(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return found


class VSSM(nn.Module):
    """The network without its classifier. Numbers in names are places in the published code's sequences."""

    def __init__(self, layout: VSSMLayout) -> None:
        super().__init__()
        dims = [layout.dim * 2**stage for stage in range(len(layout.depths))]
        first, half = dims[0], dims[0] // 2
        stem: dict[str, nn.Module] = {"0": nn.Conv2d(3, first, 4, stride=4), "2": nn.LayerNorm(first, eps=NORM_EPS)}
        if layout.overlapping:
            stem = {
                "0": nn.Conv2d(3, half, 3, stride=2, padding=1),
                "2": nn.LayerNorm(half, eps=NORM_EPS),
                "5": nn.Conv2d(half, first, 3, stride=2, padding=1),
                "7": nn.LayerNorm(first, eps=NORM_EPS),
            }
        self.patch_embed = nn.ModuleDict(stem)
        self.layers = nn.ModuleList()
        for dim, depth in zip(dims, layout.depths, strict=True):
            parts: dict[str, nn.Module] = {"blocks": nn.Sequential(*(VSSBlock(dim, layout) for _ in range(depth)))}
            if dim != dims[-1]:
                kernel, padding = (3, 1) if layout.overlapping else (2, 0)
                halving = nn.Conv2d(dim, 2 * dim, kernel, stride=2, padding=padding)
                parts["downsample"] = nn.ModuleDict({"1": halving, "3": nn.LayerNorm(2 * dim, eps=NORM_EPS)})
            self.layers.append(nn.ModuleDict(parts))
        self.classifier = nn.ModuleDict({"norm": nn.LayerNorm(dims[-1], eps=NORM_EPS)})

    def steps(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yields the (B, H, W, C) map after the stem, each block, each downsampling and the last norm, by name."""
        stem = self.patch_embed
        tokens = stem["2"](stem["0"](images).permute(0, 2, 3, 1))
        if "5" in stem:
            tokens = stem["7"](_convolved(stem["5"], F.gelu(tokens)))
        yield "patch_embed", tokens
        for at, stage in enumerate(self.layers.children()):
            for place, block in enumerate(stage.get_submodule("blocks").children()):
                tokens = block(tokens)
                yield f"layers.{at}.blocks.{place}", tokens
            if at + 1 < len(self.layers):
                tokens = _convolved(stage.get_submodule("downsample.1"), tokens)
                tokens = stage.get_submodule("downsample.3")(tokens)
                yield f"layers.{at}.downsample", tokens
        yield "classifier.norm", self.classifier["norm"](tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) float32 into (B, C) float32: the last normed map, averaged."""
        _, normed = deque(self.steps(images), maxlen=1).pop()
        return normed.mean(dim=(1, 2))


class VMambaEncoder(SliceEncoder):
    """A VSSM on grey rows."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8
    fixed_tensors: ClassVar[frozenset[str]] = frozenset(
        f"layers.{stage}.blocks.{block}.op.{name}"
        for stage in range(4)
        for block in range(_MOST_BLOCKS)
        for name in ("A_logs", "dt_projs_bias")
    )

    trunk: VSSM

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        layout = LAYOUTS[architecture]
        super().__init__(dim=layout.dim * 2 ** (len(layout.depths) - 1), input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = VSSM(layout)

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the four linear layers of every block; what goes into and through the scan stays float32."""
        for block in self.trunk.modules():
            if isinstance(block, VSSBlock):
                yield from (block.op.in_proj, block.op.out_proj, block.mlp.fc1, block.mlp.fc2)

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        features: Tensor = self.trunk(self.channels(rows))
        return features


_OLD_NAMES = (
    (re.compile(r"^patch_embed\.proj\."), "patch_embed.0."),
    (re.compile(r"^patch_embed\.norm\."), "patch_embed.2."),
    (re.compile(r"^(layers\.\d+\.blocks\.\d+)\.ln_1\."), r"\1.norm."),
    (re.compile(r"^(layers\.\d+\.blocks\.\d+)\.self_attention\."), r"\1.op."),
    (re.compile(r"^norm\."), "classifier.norm."),
    (re.compile(r"^(?:classifier\.)?(head|fc)\."), "head."),
)
_LINEAR = re.compile(r"\.(in_proj|out_proj|fc1|fc2)\.weight$")


def _present_name(key: str) -> str:
    """The key as the newest code would write it; older code had other names."""
    for pattern, name in _OLD_NAMES:
        key = pattern.sub(name, key)
    return key


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del keys  # names of all versions can be told apart one by one
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in VSSM(LAYOUTS[architecture]).state_dict().items()}

    def rule(key: str) -> str | DroppedKey | Reshaped:
        name = _present_name(key)
        if name.startswith("head."):
            return DroppedKey(key, head_reason(name))
        if _LINEAR.search(name) and name in shapes:
            return Reshaped(name, shapes[name])  # channel-first code of some versions wrote 1 x 1 convolutions
        return name

    return rule


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    named = {_present_name(key): shape for key, shape in shapes.items()}
    if "layers.0.blocks.0.op.A_logs" not in named:
        return None
    found = {name: math.prod(shape) for name, shape in named.items() if not name.startswith("head.")}
    for architecture, layout in LAYOUTS.items():
        with torch.device("meta"):
            state = VSSM(layout).state_dict()
        if {name: tensor.numel() for name, tensor in state.items()} == found:
            return architecture
    return None


def _build(card: EncoderCard) -> VMambaEncoder:
    return VMambaEncoder(card.architecture, input_size=card.input_size, mean=card.mean, std=card.std)


FAMILY = EncoderFamily(tuple(LAYOUTS), _build, _key_rules, _infer)
