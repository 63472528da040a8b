"""TransMIL: rows look at one another, and at their neighbours in the stack.

Shao et al. 2021, "TransMIL: Transformer based correlated multiple instance learning for whole slide image classification",
NeurIPS. Two things differ from its published code, for a bag's answer must not depend on padding nor on other bags:
attention is exact where that code approximates it (Nystrom attention pads with zero rows that take part in its softmax, and
starts its pseudo-inverse from the greatest value of the whole batch; bags of CT rows are short enough to be exact), and the
rows that fill up the square stand in the convolutions only, while there they take part in attention.
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
    """x + attention of LayerNorm x, over the rows of each bag."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = math.gcd(HEADS, width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def _projected(self, tokens: Tensor) -> Tensor:
        """Returns queries, keys and values, (3, b, heads, N, width / heads), of (b, N, width) tokens."""
        found: Tensor = self.qkv(self.norm(tokens))
        return found.view(*tokens.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns (b, N, width) from (b, N, width) tokens."""
        query, key, value = self._projected(tokens)
        found = F.scaled_dot_product_attention(query, key, value)
        update: Tensor = self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return tokens + update

    def first(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what becomes of the first tokens, (b, width), and the logarithm of their attention to all, (b, N).

        The attention is the mean over heads.
        """
        query, key, value = self._projected(tokens)
        logits = (key @ query[:, :, 0].unsqueeze(3)).squeeze(3) / math.sqrt(key.shape[3])  # (b, heads, N)
        weights = torch.log_softmax(logits, dim=2)
        found = (weights.exp().unsqueeze(2) @ value).flatten(1)
        update: Tensor = self.dropout(self.out(found))
        return tokens[:, 0] + update, torch.logsumexp(weights, dim=1) - math.log(self.heads)


class SquareConvolutions(nn.Module):
    """PPEG: the rows laid out as a square, line by line, plus their 7 x 7, 5 x 5 and 3 x 3 convolutions by channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, size, padding=size // 2, groups=width) for size in (7, 5, 3)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Returns (b, N, width) from (b, N, width); the first rows, repeated, fill up the square."""
        n_rows = rows.shape[1]
        side = math.isqrt(n_rows - 1) + 1
        square = torch.cat([rows, rows[:, : side * side - n_rows]], dim=1).transpose(1, 2)
        square = square.reshape(len(rows), -1, side, side)
        found: Tensor = square + sum(convolution(square) for convolution in self.convolutions)
        return found.flatten(2).transpose(1, 2)[:, :n_rows]


class TransMilHead(Head):
    """Linear and ReLU, a class token, attention, PPEG, attention, LayerNorm, and an output linear in the class token.

    It reads rows as a sequence: their order matters, as its authors mean it. The attention is that of the class token over the
    rows in the last layer. Bags of one length are computed together, others apart; nothing is padded.
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
        bags = split(self.encoder(rows), lengths)
        places: dict[int, list[int]] = {}
        for place, bag in enumerate(bags):
            places.setdefault(len(bag), []).append(place)
        tokens: dict[int, Tensor] = {}
        attention: dict[int, Tensor] = {}
        for alike in places.values():
            found = self._bags(torch.stack([bags[place] for place in alike]))
            for place, token, logits in zip(alike, *found, strict=True):
                tokens[place], attention[place] = token, logits
        joined = torch.stack([tokens[place] for place in range(len(bags))])
        return HeadOutput(
            self.classifier(self.norm(joined)), torch.cat([attention[place] for place in range(len(bags))])
        )

    def _bags(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (b, width) class tokens and (b, N) logarithms of attention, from (b, N, width) hidden rows."""
        tokens = self.before(torch.cat([self.token.expand(len(hidden), 1, -1), hidden], dim=1))
        tokens = torch.cat([tokens[:, :1], self.position(tokens[:, 1:])], dim=1)
        token, attention = self.after.first(tokens)
        return token, attention[:, 1:]
