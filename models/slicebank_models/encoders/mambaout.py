"""MambaOut: gated convolution blocks without a state space (Yu and Wang, arXiv:2405.07992), in timm's layouts.

The feature is the pooled, then normed vector. timm's own `num_classes=0` would go on through the hidden layer of the
MLP head, which checkpoints of frozen features do not use.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from timm.models.mambaout import MambaOut
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, InputKind
from slicebank_models.encoders.contrastive_keys import head_reason
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.errors import UnknownArchitecture

_RW: Mapping[str, Any] = MappingProxyType(
    {"stem_mid_norm": False, "downsample": "conv_nf", "ls_init_value": 1e-6, "head_fn": "norm_mlp"}
)
_TINY = (96, 192, 384, 576)
_FEMTO = (48, 96, 192, 288)
_BASE = (128, 256, 512, 768)

LAYOUTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mambaout_femto": {"depths": (3, 3, 9, 3), "dims": _FEMTO},
        "mambaout_kobe": {"depths": (3, 3, 15, 3), "dims": _FEMTO},
        "mambaout_tiny": {"depths": (3, 3, 9, 3), "dims": _TINY},
        "mambaout_small": {"depths": (3, 4, 27, 3), "dims": _TINY},
        "mambaout_base": {"depths": (3, 4, 27, 3), "dims": _BASE},
        "mambaout_small_rw": {"depths": (3, 4, 27, 3), "dims": _TINY, **_RW},
        "mambaout_base_short_rw": {
            "depths": (3, 3, 25, 3),
            "dims": _BASE,
            "expansion_ratio": 3.0,
            "conv_ratio": 1.25,
            **_RW,
        },
        "mambaout_base_tall_rw": {
            "depths": (3, 4, 30, 3),
            "dims": _BASE,
            "expansion_ratio": 2.5,
            "conv_ratio": 1.25,
            **_RW,
        },
        "mambaout_base_wide_rw": {
            "depths": (3, 4, 27, 3),
            "dims": _BASE,
            "expansion_ratio": 3.0,
            "conv_ratio": 1.5,
            "act_layer": "silu",
            **_RW,
        },
        "mambaout_base_plus_rw": {
            "depths": (3, 4, 30, 3),
            "dims": _BASE,
            "expansion_ratio": 3.0,
            "conv_ratio": 1.5,
            "act_layer": "silu",
            **_RW,
        },
    }
)


class MambaOutEncoder(SliceEncoder):
    """timm's MambaOut up to its pooled, normed vector, with a forward pass of our own over timm's layers."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: MambaOut

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        layout = LAYOUTS[architecture]
        super().__init__(dim=layout["dims"][-1], input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = MambaOut(num_classes=0, **layout)
        self.trunk.head.add_module("pre_logits", nn.Identity())

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields both linear layers and the depthwise convolution of every block."""
        for stage in self.trunk.stages:
            for block in stage.get_submodule("blocks").children():
                yield from (block.get_submodule(name) for name in ("fc1", "conv", "fc2"))

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        tokens: Tensor = self.trunk.stem(self.channels(rows))  # (B, S/4, S/4, C)
        for stage in self.trunk.stages:
            tokens = stage.get_submodule("downsample")(tokens)
            for block in stage.get_submodule("blocks").children():
                tokens = tokens + _gated_convolution(block, tokens)
        normed: Tensor = self.trunk.head.get_submodule("norm")(tokens.mean(dim=(1, 2)))
        return normed


def _gated_convolution(block: nn.Module, tokens: Tensor) -> Tensor:
    """What one block adds to its (B, H, W, C) float32 input.

    timm projects to gate, pass-through and convolved channels in one product, copies the last part out of it and puts
    the parts together again. The rows of the weight are projected apart here, so that nothing is copied and the gate is
    multiplied in place: 1.2 times as fast for femto, 1.1 for tiny (benchmarks/encoder_alone.py measures the whole).
    """
    project: nn.Linear = block.fc1  # type: ignore[assignment]
    gate_dim, pass_dim, conv_dim = block.split_indices  # type: ignore[misc]
    weights = torch.split(project.weight, [gate_dim, pass_dim, conv_dim])
    biases = torch.split(project.bias, [gate_dim, pass_dim, conv_dim])
    normed = block.get_submodule("norm")(tokens).to(project.weight.dtype)
    gate: Tensor = block.get_submodule("act")(F.linear(normed, weights[0], biases[0]))
    passed = F.linear(normed, weights[1], biases[1])
    convolved = F.linear(normed, weights[2], biases[2]).permute(0, 3, 1, 2)
    convolved = block.get_submodule("conv")(convolved).permute(0, 2, 3, 1)
    gate[..., :pass_dim].mul_(passed)
    gate[..., pass_dim:].mul_(convolved)
    added: Tensor = block.get_submodule("ls")(block.get_submodule("fc2")(gate))
    return added


def _timm_key(key: str) -> str | DroppedKey:
    if key.startswith("head.") and not key.startswith("head.norm."):
        return DroppedKey(key, head_reason(key))
    return key


_OFFICIAL_DOWNSAMPLE = re.compile(r"downsample_layers\.(\d+)\.")
_OFFICIAL_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.")


def _official_key(key: str) -> str | DroppedKey:
    """Names of github.com/yuweihao/MambaOut: its `norm` pools, its `head.norm` lies inside the classifier."""
    if key.startswith("head."):
        return DroppedKey(key, head_reason(key))
    if key.startswith("norm."):
        return f"head.{key}"
    key = key.replace("downsample_layers.0.", "stem.", 1)
    key = _OFFICIAL_DOWNSAMPLE.sub(r"stages.\1.downsample.", key)
    return _OFFICIAL_BLOCK.sub(r"stages.\1.blocks.\2.", key)


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture  # one naming for all layouts
    official = any(key.startswith("downsample_layers.") for key in keys)
    return _official_key if official else _timm_key


def _build(card: EncoderCard) -> MambaOutEncoder:
    return MambaOutEncoder(card.architecture, input_size=card.input_size, mean=card.mean, std=card.std)


_FIRST_LAYER = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.fc1\.weight")


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Tells the layout by depths, widths and the parts of a block, then by every tensor.

    Raises:
        UnknownArchitecture: A MambaOut of no layout that is known here; says of what depths and widths.
    """
    rule = _key_rules("", frozenset(shapes))
    named = {name: shape for key, shape in shapes.items() if isinstance(name := rule(key), str)}
    layers = {match.groups(): named[name] for name in named if (match := _FIRST_LAYER.fullmatch(name))}
    first, convolution = named.get("stem.conv1.weight", ()), named.get("stages.0.blocks.0.conv.weight", ())
    if ("0", "0") not in layers or convolution[1:] != (1, 7, 7) or first[2:] not in ((), (3, 3)):
        return None
    stages = sorted({stage for stage, _ in layers}, key=int)
    depths = tuple(sum(stage == of for of, _ in layers) for stage in stages)
    dims = tuple(layers.get((stage, "0"), (0, 0))[-1] for stage in stages)
    for architecture, layout in LAYOUTS.items():
        if (layout["depths"], layout["dims"]) == (depths, dims) and named == _shapes(architecture):
            return architecture
    alike = [name for name, layout in LAYOUTS.items() if (layout["depths"], layout["dims"]) == (depths, dims)]
    nearest = (
        f"the depths and widths of {' and '.join(alike)}, but other tensors" if alike else "of no layout known here"
    )
    known = "; ".join(f"{name} {layout['depths']}, {layout['dims']}" for name, layout in LAYOUTS.items())
    raise UnknownArchitecture(
        f"The file is a MambaOut of depths {depths} and widths {dims}, so of {dims[-1]} dimensions: {nearest}. "
        f"Known are {known}. To see what differs from one of them, name it with --architecture."
    )


def _shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an architecture's tensors, worked out without their numbers."""
    with torch.device("meta"):
        encoder = MambaOutEncoder(architecture, input_size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return {name: tuple(tensor.shape) for name, tensor in encoder.weights().items()}


FAMILY = EncoderFamily(tuple(LAYOUTS), _build, _key_rules, _infer)
