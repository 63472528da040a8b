"""CLAM: gated attention, and instance classifiers that learn from the rows at either end of it.

Lu et al. 2021, "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature Biomedical
Engineering 5, written from its methods; the smooth SVM is Berrada et al. 2018, "Smooth loss functions for deep top-k
classification", ICLR.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.heads.abmil import DROPOUT, WIDTH, GatedAttention
from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.packed import bag_softmax, bag_sum, bag_weighted_sums, split
from slicebank_models.heads.spec import TaskKind


class ClamHead(Head):
    """One attention branch for all outputs (CLAM-SB), or one an output (CLAM-MB); the outputs are linear in what it pools.

    While training with targets, every output has an instance classifier of two scores. Where the output holds for the bag, its
    B most attended rows shall be of the class and its B least attended ones not; where it does not hold, the B most attended
    rows shall not: they are what the bag's own class rests on, or, of labels that do not exclude each other, would be false
    evidence. A bag of N rows gives at most ceil(N / 2) of the first and floor(N / 2) of the second, so that no row is both.

    Args:
        dim: Length of the rows.
        kind: Binary, multilabel or multiclass; of a binary task the one output has the one instance classifier.
        n_outputs: Of the classifier.
        width: Of h and of the attention.
        dropout: On h.
        instances: B.
        branches: Whether every output has attention of its own.
    """

    def __init__(
        self,
        dim: int,
        kind: TaskKind,
        n_outputs: int,
        width: int = WIDTH,
        dropout: float = DROPOUT,
        *,
        instances: int = 8,
        branches: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.instances = instances
        self.branches = branches
        self.encoder = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(dropout))
        self.attention = GatedAttention(width, n_outputs if branches else 1)
        self.classifier = nn.Linear(width, n_outputs)
        self.instance_classifiers = nn.Linear(width, 2 * n_outputs)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`; attention logits are (T, n_outputs) with branches, else (T,)."""
        hidden = self.encoder(rows)
        attention_logits = self.attention(hidden)  # (T, branches)
        pooled = bag_weighted_sums(bag_softmax(attention_logits, lengths), hidden, lengths)  # (B, branches, width)
        # One branch serves every output: the product broadcasts.
        logits = (pooled * self.classifier.weight).sum(dim=2) + self.classifier.bias
        loss = None
        if targets is not None and self.training:
            loss = self.instance_loss(hidden, attention_logits, lengths, self._holds(targets))
        return HeadOutput(logits, attention_logits if self.branches else attention_logits[:, 0], loss)

    def _holds(self, targets: Tensor) -> Tensor:
        """Returns (B, n_outputs) 1, 0 or NaN: whether each output holds for each bag."""
        if self.kind is not TaskKind.MULTICLASS:
            return targets
        classes = torch.arange(self.classifier.out_features, device=targets.device)
        return torch.where(targets.isnan(), targets, (targets == classes).to(targets))

    def instance_loss(self, hidden: Tensor, attention: Tensor, lengths: Tensor, holds: Tensor) -> Tensor:
        """Returns the mean over bags and known outputs of the mean smooth SVM loss of the rows that are clustered.

        Args:
            hidden: (T, width).
            attention: (T, branches), only their order is used.
            lengths: (B,).
            holds: (B, n_outputs) 1, 0 or NaN.
        """
        most, least = -(-lengths // 2), lengths // 2
        n_top, n_bottom = most.clamp(max=self.instances), least.clamp(max=self.instances)
        top, bottom = _ends(attention.expand(-1, holds.shape[1]), lengths, n_top.tolist(), n_bottom.tolist())
        at_top = smooth_svm(self._scores(hidden, top))  # (sum of n_top, n_outputs, 2)
        at_bottom = smooth_svm(self._scores(hidden, bottom))
        inside = bag_sum(at_top[..., 1], n_top) + bag_sum(at_bottom[..., 0], n_bottom)
        outside = bag_sum(at_top[..., 0], n_top)
        losses = torch.where(
            holds == 1, inside / (n_top + n_bottom).unsqueeze(1), outside / n_top.unsqueeze(1)
        )  # (B, n_outputs)
        known = ~holds.isnan()
        return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)

    def _scores(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Returns (k, n_outputs, 2) scores by each output's own classifier of the (k, n_outputs) rows chosen for it."""
        weight = self.instance_classifiers.weight.view(-1, 2, hidden.shape[1])
        scores = torch.einsum("kod,ocd->koc", hidden[chosen], weight)
        return scores + self.instance_classifiers.bias.view(-1, 2)


@torch.no_grad()
def _ends(attention: Tensor, lengths: Tensor, n_top: Sequence[int], n_bottom: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns which of the T rows are most and which least attended in each bag, bags end to end, by output.

    Args:
        attention: (T, n_outputs).
        lengths: (B,).
        n_top: How many of each bag, at most its rows.
        n_bottom: Likewise.

    Returns:
        (sum of n_top, n_outputs) and (sum of n_bottom, n_outputs), int64.
    """
    top, bottom, start = [], [], 0
    for bag, most, least in zip(split(attention, lengths), n_top, n_bottom, strict=True):
        top.append(start + bag.topk(most, dim=0).indices)
        bottom.append(start + bag.topk(least, dim=0, largest=False).indices)
        start += len(bag)
    return torch.cat(top), torch.cat(bottom)


def smooth_svm(scores: Tensor) -> Tensor:
    """Returns the smooth top-1 SVM loss (margin and temperature 1) of each answer, (..., 2) from (..., 2) scores.

    log(sum over j of exp(s_j + [j is not y])) - s_y, which for two scores is softplus(1 + s_other - s_y).
    """
    return F.softplus(1 + scores.flip(-1) - scores)
