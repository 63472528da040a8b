"""What encoders of slices share: square rows, and grey levels that become channels."""

import torch
from torch import Tensor, nn

from slicebank_models.encoders.encoder import Encoder


class SliceEncoder(Encoder):
    """Frozen encoder of single slices: (B, S, S) rows to (B, dim) features.

    Attributes:
        input_size: Side of the square input, pixels.
    """

    def __init__(self, *, dim: int, input_size: int) -> None:
        super().__init__(dim=dim, row_shape=(input_size, input_size))
        self.input_size = input_size


class GreyToChannels(nn.Module):
    """Grey levels to normalised channels: v / 255, three equal channels, minus mean, divided by std (float32)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Turns (B, S, S) uint8 into (B, C, S, S) float32, channels last in memory."""
        grey = rows.to(self.mean.dtype).unsqueeze(1) / 255.0
        return ((grey - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
