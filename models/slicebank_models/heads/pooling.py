"""The published head with plain pooling in place of attention: the mean, or the highest value, of every hidden unit."""

import torch
from torch import Tensor, nn

from slicebank_models.heads.abmil import DROPOUT, WIDTH, classifier
from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.packed import bag_sum, split

# What a row that contributes nothing counts as, so that its logarithm is a number; 20,000 of them sum to 2e-5.
LEAST_SHARE = 1e-9


class PooledHead(Head):
    """h = ReLU(W x); z = the mean, or the maximum by unit, of h over the bag (embedding level: Ilse et al. 2018, section 2.3).

    The attention of a mean is uniform. That of a maximum is the share of the units, of those that any row lights, whose
    highest value the row gives; rows that tie share.
    """

    def __init__(
        self, dim: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT, *, highest: bool = False
    ) -> None:
        super().__init__()
        self.highest = highest
        self.encoder = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.classifier = classifier(width, n_outputs, width, dropout)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`; attention logits are logarithms of contributions."""
        hidden = self.encoder(rows)
        if not self.highest:
            pooled = bag_sum(hidden, lengths) / lengths.unsqueeze(1)
            return HeadOutput(self.classifier(pooled), rows.new_zeros(len(rows)))
        parts = split(hidden, lengths)
        pooled = torch.stack([part.amax(dim=0) for part in parts])
        with torch.no_grad():
            shares = torch.cat([_shares(part, highest) for part, highest in zip(parts, pooled, strict=True)])
        return HeadOutput(self.classifier(pooled), torch.log(shares + LEAST_SHARE))


def _shares(hidden: Tensor, highest: Tensor) -> Tensor:
    """Returns (N,) shares that sum to 1, from (N, width) rows of one bag and their (width,) maxima."""
    reach = ((hidden == highest) & (highest > 0)).to(hidden.dtype)
    share = (reach / reach.sum(dim=0).clamp(min=1)).sum(dim=1)
    total = share.sum()
    return torch.where(total > 0, share / total, 1 / len(hidden))
