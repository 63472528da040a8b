"""What every slice encoder is: rows in, one pooled and normed vector a row out."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from slicebank_models.cards import InputKind

TRAINING_COUNTER = "num_batches_tracked"  # BatchNorm's count of steps: in checkpoints, without meaning at inference


class SliceEncoder(nn.Module):
    """Frozen encoder of single rows. Subclasses set `trunk`, whose tensor names are those of checkpoints.

    Attributes:
        input_kind: What the rows hold.
        dim: Length of a feature row.
        input_size: Side of the square input, pixels.
    """

    input_kind: ClassVar[InputKind]

    trunk: nn.Module

    def __init__(self, *, dim: int, input_size: int) -> None:
        super().__init__()
        self.dim = dim
        self.input_size = input_size

    def weights(self) -> dict[str, Tensor]:
        """Returns the tensors that decide the features, by their names in checkpoints; shared, not copied."""
        return {name: tensor for name, tensor in self.trunk.state_dict().items() if TRAINING_COUNTER not in name}

    def set_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies `tensors`, which must be exactly those of `weights`, into place.

        Raises:
            KeyError: A tensor is missing or unknown.
        """
        own = self.weights()
        if different := set(own) ^ set(tensors):
            raise KeyError(f"These tensors are on one side only: {', '.join(sorted(different))}.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def lower(self, dtype: torch.dtype) -> None:
        """Turns the large matrices of the blocks, and the products they take part in, into `dtype`, for good.

        Stem, downsampling, norms and the residual stream stay float32: they carry the whole signal, and rounding there
        shifts every position of even background alike, which pooling does not average out. The weights are converted
        once, where autocast would convert them for every batch.
        """
        for matrix in self.block_matrices():
            matrix.to(dtype)

    @property
    def lowers(self) -> bool:
        """Whether `lower` changes anything; it does not where counting or sums need float32."""
        return any(True for _ in self.block_matrices())

    def block_matrices(self) -> Iterator[nn.Module]:
        """The layers that `lower` converts; their inputs are cast to the dtype of their weights."""
        return iter(())


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
        grey = rows.to(torch.float32).unsqueeze(1) / 255.0
        return ((grey - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
