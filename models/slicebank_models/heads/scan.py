"""Heads of encoders that give one row a scan: the published classifier without attention, and a linear probe."""

from torch import Tensor, nn

from slicebank_models.heads.abmil import DROPOUT, WIDTH, classifier
from slicebank_models.heads.head import Head, HeadOutput


class ScanHead(Head):
    """LayerNorm, Linear to 256, Dropout, SiLU, Linear on the scan's row; or, if `linear`, one Linear."""

    def __init__(
        self, dim: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT, *, linear: bool = False
    ) -> None:
        super().__init__()
        self.classifier: nn.Module = nn.Linear(dim, n_outputs) if linear else classifier(dim, n_outputs, width, dropout)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """Reads packed bags of one row each: (T, d) with T = B; the attention of a scan's one row is 1."""
        if len(rows) != len(lengths):
            raise ValueError("A scan-level bag has exactly one row.")
        return HeadOutput(self.classifier(rows), rows.new_zeros(len(rows)))
