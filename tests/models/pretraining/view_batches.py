"""Batches and settings for the tests of views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slicebank_models.pretraining.batches import SliceBatch
from slicebank_models.pretraining.spec import ViewSettings

Box = tuple[float, float, float, float]

OFF = ViewSettings(
    windows=("wide",), crop_min=1.0, crop_ratio=1.0, flip=0.0, jitter=0.0, blur=(0.0, 0.0), solarise=(0.0, 0.0)
)
WIDE = torch.tensor([[-1000.0, 1000.0]])


def random_slices(count: int, side: int, seed: int = 0) -> Tensor:
    """(count, side, side) int16 noise that fills CT's range and leaves it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1200, 1201, (count, side, side), generator=generator, dtype=torch.int16)


def batch_of(hu: Tensor, boxes: Sequence[Sequence[Box]] | None = None) -> SliceBatch:
    """A batch with these boxes, one sequence a slice."""
    boxes = boxes or [()] * len(hu)
    longest = max(len(own) for own in boxes)
    table = torch.full((len(hu), longest, 4), float("nan"))
    for place, own in enumerate(boxes):
        for number, box in enumerate(own):
            table[place, number] = torch.tensor(box)
    return SliceBatch(hu, table, torch.tensor([len(own) for own in boxes]), torch.arange(len(hu)))
