"""The image encoder of SAM 2 (Ravi et al., arXiv:2408.00714): a Hiera trunk and a pyramid neck, under official names.

The feature is the mean over positions of `vision_features`, the output of stride 16: the neck's projection of stage 3 plus
that of stage 4, repeated 2 x 2. The neck's two finer levels are in checkpoints and kept, but no feature depends on them.
SAM 2 was trained at 1024 pixels; any multiple of 32 will do.
"""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.hiera import LAYOUTS, STRIDE, Hiera, HieraLayout
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.errors import BadCard

DIM = 256  # of the neck's output


class Neck(nn.Module):
    """1 x 1 projections of the stages to 256 channels, the deepest first, and their sum at stride 16."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for width in reversed(widths):
            self.convs.append(nn.Sequential())
            self.convs[-1].add_module("conv", nn.Conv2d(width, DIM, 1))

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Turns the stages into (B, 256, S / 16, S / 16): `vision_features`."""
        deepest: Tensor = self.convs[0](stages[3].permute(0, 3, 1, 2))
        lateral: Tensor = self.convs[1](stages[2].permute(0, 3, 1, 2))
        return lateral + F.interpolate(deepest, scale_factor=2.0, mode="nearest")


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, layout: HieraLayout) -> None:
        super().__init__()
        self.trunk = Hiera(layout)
        self.neck = Neck([layout.dim * 2**stage for stage in range(4)])

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, 3, S, S) float32 into (B, 256, S / 16, S / 16) float32."""
        features: Tensor = self.neck(self.trunk(images))
        return features


class Sam2(nn.Module):
    """What is taken of SAM 2: `image_encoder`."""

    def __init__(self, layout: HieraLayout) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(layout)


class Sam2Encoder(SliceEncoder):
    """SAM 2's image encoder on grey rows, averaged over positions.

    Raises:
        BadCard: The side of the input is no multiple of 32.
    """

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: Sam2

    def __init__(self, architecture: str, *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        if input_size % STRIDE:
            raise BadCard(f"SAM 2 takes inputs whose side is a multiple of {STRIDE}, not {input_size}.")
        super().__init__(dim=DIM, input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = Sam2(LAYOUTS[architecture])

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the four linear layers of every block; projections of shortcuts stay as they are."""
        for block in self.trunk.image_encoder.trunk.blocks:
            yield from (block.get_submodule(name) for name in ("attn.qkv", "attn.proj", "mlp.layers.0", "mlp.layers.1"))

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, 256) float32."""
        features: Tensor = self.trunk.image_encoder(self.channels(rows))
        return features.mean(dim=(2, 3))


_PROMPTS = "prompt encoder"
_DECODER = "mask decoder"
_MEMORY = "memory of video frames"
_DROPPED = {
    "sam_prompt_encoder.": _PROMPTS,
    "prompt_encoder.": _PROMPTS,
    "shared_image_embedding.": _PROMPTS,
    "sam_mask_decoder.": _DECODER,
    "mask_decoder.": _DECODER,
    **dict.fromkeys(("memory_", "maskmem_", "mask_downsample.", "no_mem", "no_obj", "obj_ptr_"), _MEMORY),
    **dict.fromkeys(("object_pointer_", "temporal_positional_", "occlusion_spatial_"), _MEMORY),
}
"""Beginnings of keys beside the image encoder, in official files and in those of transformers."""

_TRANSFORMERS = (
    ("vision_encoder.backbone.", "image_encoder.trunk."),
    ("vision_encoder.neck.", "image_encoder.neck."),
    (".patch_embed.projection.", ".patch_embed.proj."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".mlp.proj_in.", ".mlp.layers.0."),
    (".mlp.proj_out.", ".mlp.layers.1."),
)
_TRANSFORMERS_CONV = re.compile(r"(\.neck\.convs\.\d+)\.(weight|bias)$")


def _official_key(key: str) -> str | DroppedKey:
    reason = next((reason for start, reason in _DROPPED.items() if key.startswith(start)), None)
    return key if reason is None else DroppedKey(key, reason)


def _transformers_key(key: str) -> str | DroppedKey:
    named = _official_key(key)
    if isinstance(named, DroppedKey):
        return named
    for theirs, ours in _TRANSFORMERS:
        named = named.replace(theirs, ours, 1)
    return _TRANSFORMERS_CONV.sub(r"\1.conv.\2", named)


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture  # one naming for all sizes
    return _transformers_key if any(key.startswith("vision_encoder.") for key in keys) else _official_key


_FIRST_NORM = re.compile(r"image_encoder\.trunk\.blocks\.\d+\.norm1\.weight")


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    rule = _key_rules("", frozenset(shapes))
    named = {name: shape for key, shape in shapes.items() if isinstance(name := rule(key), str)}
    width = named.get("image_encoder.trunk.patch_embed.proj.weight", (0,))[0]
    depth = sum(1 for name in named if _FIRST_NORM.fullmatch(name))
    sizes = {(layout.dim, sum(layout.depths)): name for name, layout in LAYOUTS.items()}
    return sizes.get((width, depth))


def _build(card: EncoderCard) -> Sam2Encoder:
    return Sam2Encoder(card.architecture, input_size=card.input_size, mean=card.mean, std=card.std)


FAMILY = EncoderFamily(tuple(LAYOUTS), _build, _key_rules, _infer)
