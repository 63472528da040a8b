"""CT-FM: the encoder of a residual U-Net, taught to tell patches of one CT apart (Pai et al., arXiv:2501.09001).

The architecture is MONAI's `SegResEncoder` with 32 filters and 1, 2, 2, 4, 4 blocks: pre-activated residual blocks, and
between two levels a strided convolution that halves every axis and doubles the channels. The feature is the mean over
positions of the last level, 512 numbers.

The published extractor first crops a scan to the box around its values above 0 (air of -1024 HU and less). That
happens here and not before, so that what fills a row up to its size drops out again, and a short scan has the features
that it has without filling.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import torch
from torch import Tensor, nn

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.scan_encoder import ScanEncoder
from slicebank_models.errors import BadCard
from slicebank_models.volume_spec import VolumeSpec

FILTERS = 32
BLOCKS = (1, 2, 2, 4, 4)
DIM = FILTERS * 2 ** (len(BLOCKS) - 1)
ARCHITECTURE = "ct_fm"

# Levels whose tensors are larger than this are worked through in cubes: whole scans have 3.5 GB in the first level.
LARGEST_TENSOR = 256 * 2**20
TILE = 96
_ALL = slice(None)


class ResidualBlock(nn.Module):
    """Norm, ReLU and convolution, twice, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape (B, C, D, H, W), float32; the convolutions run in the dtype of their weights."""
        dtype = self.conv1.weight.dtype
        branch = self.conv1(self.norm1(x).relu_().to(dtype)).to(torch.float32)
        branch = self.conv2(self.norm2(branch).relu_().to(dtype)).to(torch.float32)
        added: Tensor = branch.add_(x)
        return added


class SegResEncoder(nn.Module):
    """The published network, with MONAI's names.

    Attributes:
        largest_tensor: Bytes of a level's tensor above which the level is worked through in cubes.
        tile: Side of these cubes.
    """

    def __init__(self, largest_tensor: int = LARGEST_TENSOR, tile: int = TILE) -> None:
        super().__init__()
        self.largest_tensor = largest_tensor
        self.tile = tile
        self.conv_init = nn.Conv3d(1, FILTERS, 3, padding=1, bias=False)
        self.layers = nn.ModuleList()
        for index, blocks in enumerate(BLOCKS):
            channels = FILTERS * 2**index
            level = nn.ModuleDict({"blocks": nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))})
            if index < len(BLOCKS) - 1:
                level["downsample"] = nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
            self.layers.append(level)

    def forward(self, volume: Tensor) -> Tensor:
        """Turns (1, 1, D, H, W) float32 into (1, 512, D/16, H/16, W/16) float32, odd sides rounded up at each halving."""
        x = volume
        for index, level in enumerate(self.layers):
            x = self._level(index, level, x)
        return x

    def _level(self, index: int, level: nn.Module, x: Tensor) -> Tensor:
        """One level and what leads to the next one, in cubes where the whole would take too much memory."""
        parts = [level.get_submodule("blocks")]
        reach = 2 * BLOCKS[index]  # voxels that a 3x3x3 convolution after another one sees to each side
        if index == 0:
            parts.insert(0, self.conv_init)
            reach += 1
        stride = 1
        if index < len(BLOCKS) - 1:
            parts.append(level.get_submodule("downsample"))
            reach, stride = reach + 1, 2
        size = 4 * FILTERS * 2**index * math.prod(x.shape[2:])
        if size <= self.largest_tensor:
            return _through(parts, x)
        return tiled(lambda part: _through(parts, part), x, tile=self.tile, reach=reach, stride=stride)


def _through(parts: list[nn.Module], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


def tiled(layers: Callable[[Tensor], Tensor], x: Tensor, *, tile: int, reach: int, stride: int) -> Tensor:
    """Applies convolutional layers cube by cube; what comes out is what the whole would give.

    A cube is cut out with a rim as wide as the layers see, and the results of the rim are thrown away. At the borders of
    the volume there is no rim, so that the layers pad there as they do for the whole.

    Args:
        layers: From (B, C, D, H, W) to (B, C', ceil(D / stride), ...).
        x: The whole.
        tile: Side of a cube without its rim; a multiple of `stride`.
        reach: How many voxels to each side decide about one of the result.
        stride: Product of the strides of `layers`.
    """
    rim = math.ceil(reach / stride) * stride
    sides = x.shape[2:]
    result: Tensor | None = None
    for corner in product(*(range(0, side, tile) for side in sides)):
        cut, kept, place = [_ALL, _ALL], [_ALL, _ALL], [_ALL, _ALL]  # batch and channels whole
        for start, side in zip(corner, sides, strict=True):
            first, end = max(0, start - rim), min(side, start + tile)
            cut.append(slice(first, min(side, end + rim)))
            kept.append(slice((start - first) // stride, math.ceil((end - first) / stride)))
            place.append(slice(start // stride, math.ceil(end / stride)))
        part = layers(x[tuple(cut)])[tuple(kept)]
        if result is None:
            whole = [math.ceil(side / stride) for side in sides]
            result = part.new_empty((*part.shape[:2], *whole))
        result[tuple(place)] = part
    if result is None:
        raise ValueError("A volume without voxels cannot be encoded.")
    return result


def foreground(volume: Tensor) -> Tensor:
    """Crops (D, H, W) to the box around its values above 0; a volume without any stays as it is."""
    inside = volume > 0
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = inside.amax(dim=others).nonzero()
        if not len(found):
            return volume
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return volume[tuple(box)]


class CtFmEncoder(ScanEncoder):
    """CT-FM on volumes whose axes point superior, posterior and left."""

    trunk: SegResEncoder

    def __init__(self, spec: VolumeSpec) -> None:
        super().__init__(dim=DIM, spec=spec)
        self.trunk = SegResEncoder()

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields both convolutions of every block."""
        for level in self.trunk.layers:
            for block in level.get_submodule("blocks").children():
                yield from (block.get_submodule(name) for name in ("conv1", "conv2"))

    def forward(self, volumes: Tensor) -> Tensor:
        """Encodes (B, S, P, L) float32 volumes to (B, 512) float32, one after another: their boxes differ."""
        boxes = (foreground(volume)[None, None] for volume in volumes)
        return torch.cat([self.trunk(box).mean(dim=(2, 3, 4)) for box in boxes])


def _key(key: str) -> str | DroppedKey:
    if key.startswith("up_layers."):
        return DroppedKey(key, "decoder of the segmentation network")
    return key.removeprefix("encoder.")


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture, keys  # files with the decoder differ in their prefix alone
    return _key


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    named = {name: shape for key, shape in shapes.items() if isinstance(name := _key(key), str)}
    stem, last = named.get("conv_init.weight"), named.get("layers.4.blocks.3.conv2.weight")
    return ARCHITECTURE if stem == (FILTERS, 1, 3, 3, 3) and last == (DIM, DIM, 3, 3, 3) else None


def _build(card: EncoderCard) -> CtFmEncoder:
    if card.volume is None:
        raise BadCard(f"Encoder {card.id}: {ARCHITECTURE} needs a volume in its card.")
    return CtFmEncoder(card.volume)


FAMILY = EncoderFamily((ARCHITECTURE,), _build, _key_rules, _infer)
