"""The published head's pooling with a backward pass of its own: two matrix products a row, in bfloat16 where the processor has it.

What torch's own gradients cost beside the products (fresh memory for every intermediate, gradients of the softmax over packed
bags) is left out. The products are most of the work: for a row of d numbers and a width of w, forward and backward together
4 d w + 6 w^2 multiplications and additions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.head import Head
from slicebank_models.heads.scaled import ScaledHead


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole bags end to end.

    Attributes:
        rows: (T, d) in the precision of the products, less `FusedPooling`'s offset.
        lengths: Rows of each bag.
        common: That number where all bags have the same, else 0: they are then pooled together, not one by one.
    """

    rows: Tensor
    lengths: list[int]
    common: int


def published_head(head: Head) -> AttentionHead | None:
    """Returns what pools in the published head, ungated: linear, ReLU; linear, tanh, linear. None for other heads."""
    inner = head.head if isinstance(head, ScaledHead) else head
    return inner if isinstance(inner, AttentionHead) and isinstance(inner.attention, nn.Sequential) else None


def fused_pooling(head: AttentionHead, chunks: Sequence[Chunk], offset: Tensor) -> Tensor:
    """Returns the (B, width) sums z of eq. 3, with gradients of the head's parameters.

    Args:
        head: One that `published_head` gave.
        chunks: Bags, together B.
        offset: (d,) that was taken from every row: small numbers lose less in bfloat16. W x + b is the same as
            W (x - offset) + (b + W offset), and that sum is formed in the precision of the parameters.
    """
    pooled: Tensor = _Pooling.apply(chunks, offset, *_parameters(head))
    return pooled


def evaluate_pooling(head: AttentionHead, chunks: Sequence[Chunk], offset: Tensor) -> Tensor:
    """Returns what `fused_pooling` does, without gradients and keeping nothing."""
    return _Pooling.forward(None, chunks, offset, *_parameters(head))


def _parameters(head: AttentionHead) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns W, b, V, c, w and w0."""
    hidden, score = head.encoder.get_submodule("0"), head.attention
    return (
        hidden.get_parameter("weight"),
        hidden.get_parameter("bias"),
        score.get_parameter("0.weight"),
        score.get_parameter("0.bias"),
        score.get_parameter("2.weight"),
        score.get_parameter("2.bias"),
    )


class _Pooling(torch.autograd.Function):
    """z = sum over the bag of a h, with h = ReLU(W x + b), a = softmax(w^T tanh(V h + c) + w0)."""

    @staticmethod
    def forward(
        ctx: Any,
        chunks: Sequence[Chunk],
        offset: Tensor,
        weight: Tensor,
        bias: Tensor,
        attention: Tensor,
        attention_bias: Tensor,
        score: Tensor,
        score_bias: Tensor,
    ) -> Tensor:
        dtype = chunks[0].rows.dtype
        down = weight.t().to(dtype)
        shifted = (bias + weight @ offset).to(dtype)
        across = attention.t().to(dtype)
        across_bias = attention_bias.to(dtype)
        pooled, kept = [], []
        for chunk in chunks:
            hidden = torch.addmm(shifted, chunk.rows, down).relu_()
            content = torch.addmm(across_bias, hidden, across).tanh_()
            logits = torch.mv(content.to(score.dtype), score[0]) + score_bias
            weights = _softmax(logits, chunk)
            pooled.append(_weighted_sum(hidden.to(score.dtype), weights, chunk))
            if ctx is not None:
                kept.append((hidden, content, weights))
        if ctx is not None:
            ctx.chunks, ctx.kept = chunks, kept
            ctx.save_for_backward(offset, attention, score)
        return torch.cat(pooled)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        offset, attention, score = ctx.saved_tensors
        dtype = ctx.chunks[0].rows.dtype
        across, scored = attention.to(dtype), score[0].to(dtype)
        sums: list[Tensor] = []
        start = 0
        for chunk, (hidden, content, weights) in zip(ctx.chunks, ctx.kept, strict=True):
            pooled = gradient[start : start + len(chunk.lengths)]
            start += len(chunk.lengths)
            d_weights = _against_rows(hidden.to(score.dtype), pooled, chunk)
            d_logits = _softmax_gradient(weights, d_weights, chunk)
            d_score = torch.mv(content.to(score.dtype).t(), d_logits)
            d_content = torch.ops.aten.tanh_backward(torch.outer(d_logits.to(dtype), scored), content)
            d_hidden = torch.mm(d_content, across)
            _add_weighted(d_hidden, weights.to(dtype), pooled.to(dtype), chunk)
            d_hidden = torch.ops.aten.threshold_backward(d_hidden, hidden, 0)
            found = (
                torch.mm(d_hidden.t(), chunk.rows).to(score.dtype),
                d_hidden.sum(dim=0, dtype=score.dtype),
                torch.mm(d_content.t(), hidden).to(score.dtype),
                d_content.sum(dim=0, dtype=score.dtype),
                d_score,
                d_logits.sum().reshape(1),
            )
            sums = list(found) if not sums else [total.add_(part) for total, part in zip(sums, found, strict=True)]
        d_weight, d_bias, d_attention, d_attention_bias, d_score, d_score_bias = sums
        d_weight.addr_(d_bias, offset)
        ctx.kept = None
        return None, None, d_weight, d_bias, d_attention, d_attention_bias, d_score.unsqueeze(0), d_score_bias


def _softmax(logits: Tensor, chunk: Chunk) -> Tensor:
    if chunk.common:
        return torch.softmax(logits.view(-1, chunk.common), dim=1).view(-1)
    return torch.cat([torch.softmax(bag, dim=0) for bag in torch.split(logits, chunk.lengths)])


def _weighted_sum(rows: Tensor, weights: Tensor, chunk: Chunk) -> Tensor:
    """Returns (B, w)."""
    if chunk.common:
        shape = (len(chunk.lengths), chunk.common)
        return torch.bmm(weights.view(shape[0], 1, shape[1]), rows.view(*shape, -1)).squeeze(1)
    bags = zip(torch.split(weights, chunk.lengths), torch.split(rows, chunk.lengths), strict=True)
    return torch.stack([weight @ bag for weight, bag in bags])


def _against_rows(rows: Tensor, gradient: Tensor, chunk: Chunk) -> Tensor:
    """Returns (T,) the product of each row with the gradient of its bag's sum."""
    if chunk.common:
        shape = (len(chunk.lengths), chunk.common)
        return torch.bmm(rows.view(*shape, -1), gradient.unsqueeze(2)).view(-1)
    return torch.cat([bag @ one for bag, one in zip(torch.split(rows, chunk.lengths), gradient, strict=True)])


def _softmax_gradient(weights: Tensor, gradient: Tensor, chunk: Chunk) -> Tensor:
    product = weights * gradient
    if chunk.common:
        inner = product.view(-1, chunk.common).sum(dim=1).repeat_interleave(chunk.common)
    else:
        inner = torch.cat([bag.sum().expand(len(bag)) for bag in torch.split(product, chunk.lengths)])
    return product.addcmul_(weights, inner, value=-1)


def _add_weighted(total: Tensor, weights: Tensor, gradient: Tensor, chunk: Chunk) -> None:
    """Adds to each row of (T, w) `total` its weight times the gradient of its bag's sum."""
    if chunk.common:
        shape = (len(chunk.lengths), chunk.common)
        total.view(*shape, -1).baddbmm_(weights.view(*shape, 1), gradient.unsqueeze(1))
        return
    for bag, weight, one in zip(
        torch.split(total, chunk.lengths), torch.split(weights, chunk.lengths), gradient, strict=True
    ):
        bag.addr_(weight, one)
