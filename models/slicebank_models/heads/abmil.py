"""The published attention-MIL head (CLEAR, eq. 3, with the layers of its published code), and its gated form."""

from torch import Tensor, nn

from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.packed import bag_softmax, bag_weighted_sums

WIDTH = 256
DROPOUT = 0.5


def classifier(n_inputs: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT) -> nn.Sequential:
    """Returns LayerNorm, Linear to `width`, Dropout, SiLU, Linear: what follows pooling, or a scan's one row."""
    return nn.Sequential(
        nn.LayerNorm(n_inputs),
        nn.Linear(n_inputs, width),
        nn.Dropout(dropout),
        nn.SiLU(),
        nn.Linear(width, n_outputs),
    )


class GatedAttention(nn.Module):
    """w^T (tanh(V h) * sigmoid(U h)): Ilse et al. 2018 (ICML), eq. 9."""

    def __init__(self, width: int, n_outputs: int = 1) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        self.score = nn.Linear(width, n_outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns (T, n_outputs) attention logits of (T, width) hidden rows."""
        logits: Tensor = self.score(self.content(hidden) * self.gate(hidden))
        return logits


class AttentionHead(Head):
    """h = ReLU(W x); a = softmax over the bag of w^T tanh(V h); z = sum of a h; outputs from z.

    Args:
        dim: Length of the rows.
        n_outputs: Of the classifier.
        width: Of h, of V and of the classifier.
        dropout: Inside the classifier.
        gated: Whether the attention is Ilse's gated one, eq. 9, in place of eq. 8, which the paper prints as eq. 3.
    """

    def __init__(
        self, dim: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT, *, gated: bool = False
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.attention: nn.Module = (
            GatedAttention(width) if gated else nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        )
        self.classifier = classifier(width, n_outputs, width, dropout)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`."""
        hidden = self.encoder(rows)
        attention_logits: Tensor = self.attention(hidden).squeeze(1)
        weights = bag_softmax(attention_logits, lengths)
        pooled = bag_weighted_sums(weights.unsqueeze(1), hidden, lengths).squeeze(1)
        return HeadOutput(self.classifier(pooled), attention_logits)
