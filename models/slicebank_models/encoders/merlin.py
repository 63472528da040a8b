"""Merlin's image encoder: a ResNet-152 inflated to three dimensions (Blankemeier et al., arXiv:2406.06512).

Every 3x3 convolution of the image network reads three planes as well, strides hold along all axes, and the pooled
2048 channels go through a linear layer to the 512 numbers that training compared with the radiology report. Those are
the feature, as the last layer gives them; the official code divides them by their norm before it compares them.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.scan_encoder import ScanEncoder
from slicebank_models.errors import BadCard
from slicebank_models.volume_spec import VolumeSpec

BLOCKS = (3, 8, 36, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
DIM = 512
ARCHITECTURE = "merlin"

# Where the published files keep the image encoder: the contrastive model, and those fine-tuned from it.
_IMAGE_PREFIXES = ("encode_image.i3_resnet.", "i3_resnet.")


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 and 1x1x1 convolutions beside an identity or, where the shape changes, a projection."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.conv1 = nn.Conv3d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv3d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm3d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Turns (B, C, D, H, W) float32 into (B, 4 width, D', H', W') float32; the branch runs in its weights' dtype."""
        branch = self.bn1(_convolved(self.conv1, x)).relu_()
        branch = self.bn2(_convolved(self.conv2, branch)).relu_()
        branch = self.bn3(_convolved(self.conv3, branch))
        kept: Tensor = x if self.downsample is None else self.downsample(x)
        added: Tensor = branch.add_(kept).relu_()
        return added


def _convolved(convolution: nn.Module, x: Tensor) -> Tensor:
    """Convolves in the dtype of the weights; float32 out, for the norm that follows."""
    weight: Tensor = convolution.weight  # type: ignore[assignment]
    convolved: Tensor = convolution(x.to(weight.dtype))
    return convolved.to(torch.float32)


class InflatedResNet(nn.Module):
    """ResNet-152 in three dimensions, with the names of the official `i3_resnet`, up to its contrastive head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, WIDTHS[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(WIDTHS[0])
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        channels = WIDTHS[0]
        for index, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
            strides = [1 if index == 0 else 2] + [1] * (blocks - 1)
            layer = nn.Sequential()
            for stride in strides:
                layer.append(Bottleneck(channels, width, stride))
                channels = width * EXPANSION
            self.add_module(f"layer{index + 1}", layer)
        self.contrastive_head = nn.Conv3d(channels, DIM, 1)

    def layers(self) -> Iterator[nn.Module]:
        """Yields the four stages."""
        return (self.get_submodule(f"layer{index + 1}") for index in range(len(BLOCKS)))

    def forward(self, volumes: Tensor) -> Tensor:
        """Turns (B, S, R, A) float32 volumes into (B, 512) float32.

        The stem of the official network sees the volume three times over, as the colours of an image: the same as one
        channel under the sum of the weights, at a third of the work.
        """
        weight = self.conv1.weight.sum(dim=1, keepdim=True)
        x = F.conv3d(volumes.unsqueeze(1), weight, stride=self.conv1.stride, padding=self.conv1.padding)
        x = self.maxpool(self.bn1(x).relu_())
        for layer in self.layers():
            x = layer(x)
        pooled = x.mean(dim=(2, 3, 4), keepdim=True)
        features: Tensor = self.contrastive_head(pooled)
        return features.flatten(1)


class MerlinEncoder(ScanEncoder):
    """Merlin on volumes whose axes point right, anterior and superior."""

    trunk: InflatedResNet

    def __init__(self, spec: VolumeSpec) -> None:
        super().__init__(dim=DIM, spec=spec)
        self.trunk = InflatedResNet()

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the three convolutions of every block."""
        for layer in self.trunk.layers():
            for block in layer.children():
                yield from (block.get_submodule(name) for name in ("conv1", "conv2", "conv3"))

    def forward(self, volumes: Tensor) -> Tensor:
        """Encodes (B, R, A, S) float32 volumes to (B, 512) float32; the network's first axis is the patient's long one."""
        features: Tensor = self.trunk(volumes.permute(0, 3, 1, 2).contiguous())
        return features


def _key(key: str) -> str | DroppedKey:
    if key.startswith("encode_text."):
        return DroppedKey(key, "text encoder")
    if key == "logit_scale":
        return DroppedKey(key, "temperature of the contrastive training")
    name = key
    for prefix in _IMAGE_PREFIXES:
        name = name.removeprefix(prefix)
    return DroppedKey(key, "classifier of phenotypes or diseases") if name.startswith("classifier.") else name


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture, keys  # the published files differ in their prefix alone
    return _key


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    named = {name: shape for key, shape in shapes.items() if isinstance(name := _key(key), str)}
    stem, head = named.get("conv1.weight"), named.get("contrastive_head.weight")
    return ARCHITECTURE if stem == (WIDTHS[0], 3, 3, 7, 7) and head == (DIM, 2048, 1, 1, 1) else None


def _build(card: EncoderCard) -> MerlinEncoder:
    if card.volume is None:
        raise BadCard(f"Encoder {card.id}: {ARCHITECTURE} needs a volume in its card.")
    return MerlinEncoder(card.volume)


FAMILY = EncoderFamily((ARCHITECTURE,), _build, _key_rules, _infer)
