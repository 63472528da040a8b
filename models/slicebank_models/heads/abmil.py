"""The published attention-MIL head (CLEAR, eq. 3, with the layers of its published code)."""

from torch import Tensor, nn

from slicebank_models.heads.packed import bag_softmax, bag_sum

WIDTH = 256
DROPOUT = 0.5


def classifier(n_inputs: int, n_outputs: int) -> nn.Sequential:
    """Returns LayerNorm, Linear to 256, Dropout, SiLU, Linear: what follows pooling, or a scan's one row."""
    return nn.Sequential(
        nn.LayerNorm(n_inputs),
        nn.Linear(n_inputs, WIDTH),
        nn.Dropout(DROPOUT),
        nn.SiLU(),
        nn.Linear(WIDTH, n_outputs),
    )


class AttentionHead(nn.Module):
    """h = ReLU(W x); a = softmax over the bag of w^T tanh(V h); z = sum of a h; outputs from z."""

    def __init__(self, dim: int, n_outputs: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, WIDTH), nn.ReLU())
        self.attention = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
        self.classifier = classifier(WIDTH, n_outputs)

    def forward(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Reads packed bags.

        Args:
            rows: (T, d) float32, bags end to end.
            lengths: (B,) int64, rows per bag, each at least 1.

        Returns:
            (B, n_outputs) logits, and (T,) attention logits before the softmax.
        """
        hidden = self.encoder(rows)
        attention_logits: Tensor = self.attention(hidden).squeeze(1)
        weights = bag_softmax(attention_logits, lengths)
        pooled = bag_sum(hidden * weights.unsqueeze(1), lengths)
        return self.classifier(pooled), attention_logits
