"""MambaOut: gated convolution blocks without a state space (Yu and Wang, arXiv:2405.07992), in timm's layouts.

The feature is the pooled, then normed vector. timm's own `num_classes=0` would go on through the hidden layer of the
MLP head, which checkpoints of frozen features do not use.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from timm.models.mambaout import MambaOut
from torch import Tensor, nn

from slicebank_models.cards import InputKind
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder

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
    """timm's MambaOut up to its pooled, normed vector.

    Under autocast only the blocks' matrix products and depthwise convolutions run in bfloat16. Stem, downsampling, the
    residual stream, pooling and the last norm carry the whole signal and stay in float32: rounding there shifts every
    position of even background alike, and pooling does not average that out.
    """

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: MambaOut

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        layout = LAYOUTS[architecture]
        super().__init__(dim=layout["dims"][-1], input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = MambaOut(num_classes=0, **layout)
        self.trunk.head.add_module("pre_logits", nn.Identity())

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        images = self.channels(rows)
        device = images.device.type
        with torch.autocast(device, enabled=False):
            tokens = self.trunk.stem(images)  # (B, S/4, S/4, C)
        for stage in self.trunk.stages:
            with torch.autocast(device, enabled=False):
                reduced = stage.get_submodule("downsample")(tokens)
            tokens = stage.get_submodule("blocks")(reduced)
        with torch.autocast(device, enabled=False):
            normed: Tensor = self.trunk.head.get_submodule("norm")(tokens.float().mean(dim=(1, 2)))
        return normed
