"""What every encoder is, of slices or of scans: rows in, one feature vector a row out."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from slicebank_models.cards import InputKind

TRAINING_COUNTER = "num_batches_tracked"  # BatchNorm's count of steps: in checkpoints, without meaning at inference


class Encoder(nn.Module):
    """A frozen encoder: the device stage between two stages on the CPU.

    Before it, pixels become rows as the card says (windows, size and interpolation, or the volume); after it, features go to
    the bag as they are. Subclasses set `trunk`, whose tensor names are those of checkpoints.

    Attributes:
        input_kind: What the rows hold.
        fixed_tensors: Tensors of `trunk` that the architecture computes itself; seeded weights leave them alone.
        dim: Length of a feature row.
        row_shape: Shape of one row, without the batch.
    """

    input_kind: ClassVar[InputKind]
    fixed_tensors: ClassVar[frozenset[str]] = frozenset()

    trunk: nn.Module

    def __init__(self, *, dim: int, row_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.row_shape = row_shape

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
