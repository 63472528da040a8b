"""TransMIL: rows look at one another, and at their neighbours in the stack.

Shao et al. 2021, "TransMIL: Transformer based correlated multiple instance learning for whole slide image classification",
NeurIPS. Two things differ from its published code, for a bag's answer must not depend on padding nor on other bags:
attention is exact where that code approximates it (Nystrom attention pads with zero rows that take part in its softmax, and
norms its pseudo-inverse by the greatest value of the whole batch; bags of CT rows are short enough to be exact), and the rows
that fill up the square stand in the convolutions only, where they take part in attention there.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.heads.abmil import DROPOUT, WIDTH
from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.packed import split

HEADS = 8


class SelfAttention(nn.Module):
    """x + attention of LayerNorm x, over the rows of one bag."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = math.gcd(HEADS, width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def _projected(self, tokens: Tensor) -> Tensor:
        """Returns queries, keys and values, (3, heads, N, width / heads), of (N, width) tokens."""
        found: Tensor = self.qkv(self.norm(tokens))
        return found.view(len(tokens), 3, self.heads, -1).permute(1, 2, 0, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns (N, width) from (N, width) tokens."""
        query, key, value = self._projected(tokens).unsqueeze(1)  # a batch of one: the memory-bounded kernels want it
        found = F.scaled_dot_product_attention(query, key, value)[0]
        update: Tensor = self.dropout(self.out(found.transpose(0, 1).flatten(1)))
        return tokens + update

    def first(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what becomes of the first token, (width,), and the logarithm of its attention to all, (N,), mean over heads."""
        query, key, value = self._projected(tokens)
        logits = (key @ query[:, 0].unsqueeze(2)).squeeze(2) / math.sqrt(key.shape[2])  # (heads, N)
        weights = torch.log_softmax(logits, dim=1)
        found = (weights.exp().unsqueeze(1) @ value).flatten()
        update: Tensor = self.dropout(self.out(found))
        return tokens[0] + update, torch.logsumexp(weights, dim=0) - math.log(self.heads)


class SquareConvolutions(nn.Module):
    """PPEG: the rows laid out as a square, line by line, plus their 7 x 7, 5 x 5 and 3 x 3 convolutions by channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, size, padding=size // 2, groups=width) for size in (7, 5, 3)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Returns (N, width) from (N, width); the first rows, repeated, fill up the square."""
        side = math.isqrt(len(rows) - 1) + 1
        square = torch.cat([rows, rows[: side * side - len(rows)]]).T.reshape(1, -1, side, side)
        found: Tensor = square + sum(convolution(square) for convolution in self.convolutions)
        return found.flatten(2)[0].T[: len(rows)]


class TransMilHead(Head):
    """Linear and ReLU, a class token, attention, PPEG, attention, LayerNorm, and an output linear in the class token.

    It reads rows as a sequence: their order matters, as its authors mean it. The attention is that of the class token over the
    rows in the last layer.
    """

    def __init__(self, dim: int, n_outputs: int, width: int = WIDTH, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.token = nn.Parameter(torch.randn(width))
        self.before = SelfAttention(width, dropout)
        self.position = SquareConvolutions(width)
        self.after = SelfAttention(width, dropout)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, n_outputs)

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`."""
        answers = [self._bag(bag) for bag in split(self.encoder(rows), lengths)]
        tokens = torch.stack([token for token, _ in answers])
        return HeadOutput(self.classifier(self.norm(tokens)), torch.cat([attention for _, attention in answers]))

    def _bag(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.before(torch.cat([self.token.unsqueeze(0), hidden]))
        tokens = torch.cat([tokens[:1], self.position(tokens[1:])])
        token, attention = self.after.first(tokens)
        return token, attention[1:]
