"""The head of encoders that give one row a scan: the published classifier without attention."""

from torch import Tensor, nn

from slicebank_models.heads.abmil import classifier


class ScanHead(nn.Module):
    """LayerNorm, Linear to 256, Dropout, SiLU, Linear on the scan's row."""

    def __init__(self, dim: int, n_outputs: int) -> None:
        super().__init__()
        self.classifier = classifier(dim, n_outputs)

    def forward(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Reads packed bags of one row each: (T, d) with T = B.

        Returns:
            (B, n_outputs) logits, and (T,) zeros where an attention head has its attention logits.
        """
        if len(rows) != len(lengths):
            raise ValueError("A scan-level bag has exactly one row.")
        logits: Tensor = self.classifier(rows)
        return logits, rows.new_zeros(len(rows))
