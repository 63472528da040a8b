"""A cheap, deterministic encoder for tests of everything around an encoder."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import InputKind
from slicebank_models.encoders.family import EncoderFamily
from slicebank_models.encoders.seeding import seeded_uniform
from slicebank_models.encoders.slice_encoder import SliceEncoder

DIM = 16
GRID = 16


class _Projection(nn.Module):
    """A fixed matrix as a buffer, so that it has a digest like any other weights."""

    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.from_numpy(seeded_uniform(0, "dummy", (GRID * GRID, DIM), 0.25)))

    def forward(self, cells: Tensor) -> Tensor:
        """Maps (B, GRID * GRID) to (B, DIM)."""
        return cells @ self.matrix


class DummyEncoder(SliceEncoder):
    """Cell means on a 16 x 16 grid through a fixed random matrix: depends on content and place, costs nothing."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    def __init__(self, *, input_size: int) -> None:
        super().__init__(dim=DIM, input_size=input_size)
        self.trunk = _Projection()

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, 16) float32."""
        cells = F.adaptive_avg_pool2d(rows.to(torch.float32).unsqueeze(1) / 255.0, GRID)
        features: Tensor = self.trunk(cells.flatten(1) - 0.5)
        return features


FAMILY = EncoderFamily(("dummy",), lambda card: DummyEncoder(input_size=card.input_size))
