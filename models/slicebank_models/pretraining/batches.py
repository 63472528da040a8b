"""A batch of slices as it travels to the device: HU and boxes, before any view is made."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SliceBatch:
    """Square slices with their lesions.

    Attributes:
        hu: (B, S, S) int16, HU; row 0 in front, column 0 at the patient's right.
        boxes: (B, K, 4) float32, pixels: row_start, column_start, row_stop, column_stop, stops exclusive; rows from
            `n_boxes` on are padding and never read. K may be 0.
        n_boxes: (B,) int64.
        index: (B,) int64, the slices' places in their cache.
    """

    hu: Tensor
    boxes: Tensor
    n_boxes: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        count = self.hu.shape[0]
        if self.hu.ndim != 3 or self.hu.shape[1] != self.hu.shape[2]:
            raise ValueError(f"hu must be (B, S, S), not {tuple(self.hu.shape)}")
        if self.boxes.ndim != 3 or self.boxes.shape[0] != count or self.boxes.shape[2] != 4:
            raise ValueError(f"boxes must be ({count}, K, 4), not {tuple(self.boxes.shape)}")
        if self.n_boxes.shape != (count,) or self.index.shape != (count,):
            raise ValueError(f"n_boxes and index must be ({count},)")

    def __len__(self) -> int:
        return self.hu.shape[0]

    @property
    def side(self) -> int:
        """Rows and columns of a slice."""
        return self.hu.shape[1]

    @property
    def annotated(self) -> Tensor:
        """(B,) bool: whether a slice has a lesion box."""
        return self.n_boxes > 0

    def to(self, device: torch.device | str) -> "SliceBatch":
        """Copies everything; from pinned memory, without waiting."""
        return SliceBatch(*(part.to(device, non_blocking=True) for part in self._parts()))

    def pin_memory(self) -> "SliceBatch":
        """Copies everything to page-locked memory, from which a CUDA device reads while it computes."""
        return SliceBatch(*(part.pin_memory() for part in self._parts()))

    def part(self, start: int, stop: int) -> "SliceBatch":
        """Slices from start to before stop, sharing memory."""
        return SliceBatch(*(part[start:stop] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.hu, self.boxes, self.n_boxes, self.index
