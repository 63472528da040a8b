"""A cheap, deterministic encoder of whole scans, for tests of everything around one."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.family import EncoderFamily
from slicebank_models.encoders.scan_encoder import ScanEncoder
from slicebank_models.encoders.seeding import seeded_uniform
from slicebank_models.errors import BadCard
from slicebank_models.volume_spec import VolumeSpec

DIM = 24
CELLS = (8, 8, 6)
_N_CELLS = CELLS[0] * CELLS[1] * CELLS[2]


class _Projection(nn.Module):
    """A fixed matrix as a buffer, so that it has a digest like any other weights."""

    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.from_numpy(seeded_uniform(0, "dummy_scan", (_N_CELLS, DIM), 0.25)))

    def forward(self, cells: Tensor) -> Tensor:
        """Maps (B, cells) to (B, DIM)."""
        return cells @ self.matrix


class DummyScanEncoder(ScanEncoder):
    """Cell means on an 8 x 8 x 6 grid through a fixed random matrix: depends on content and place, costs nothing."""

    def __init__(self, spec: VolumeSpec) -> None:
        super().__init__(dim=DIM, spec=spec)
        self.trunk = _Projection()

    def forward(self, volumes: Tensor) -> Tensor:
        """Encodes (B, X, Y, Z) float32 volumes to (B, 24) float32."""
        cells = F.adaptive_avg_pool3d(volumes.unsqueeze(1), CELLS)
        features: Tensor = self.trunk(cells.flatten(1) - 0.5)
        return features


def _build(card: EncoderCard) -> DummyScanEncoder:
    if card.volume is None:
        raise BadCard(f"Encoder {card.id}: dummy_scan reads volumes; the card must describe one.")
    return DummyScanEncoder(card.volume)


FAMILY = EncoderFamily(("dummy_scan",), _build)
