"""ABMIL with attention of its own for every output: a slice may speak for one finding and not for another."""

from torch import Tensor, nn

from slicebank_models.heads.abmil import DROPOUT, WIDTH, classifier
from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.packed import bag_softmax, bag_weighted_sums


class MultiBranchHead(Head):
    """The published head with one vector w per output l in eq. 3.

    a_l = softmax over the bag of w_l^T tanh(V h); z_l = sum of a_l h; output l is row l of the published classifier at z_l.
    V and all of the classifier but its last rows are shared.
    """

    def __init__(self, dim: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.attention = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, n_outputs))
        layers = classifier(width, n_outputs, width, dropout)
        self.trunk, self.last = layers[:-1], nn.Linear(width, n_outputs)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`; attention logits are (T, n_outputs)."""
        hidden = self.encoder(rows)
        attention_logits: Tensor = self.attention(hidden)
        pooled = bag_weighted_sums(bag_softmax(attention_logits, lengths), hidden, lengths)  # (B, n_outputs, width)
        logits = (self.trunk(pooled) * self.last.weight).sum(dim=2) + self.last.bias
        return HeadOutput(logits, attention_logits)
