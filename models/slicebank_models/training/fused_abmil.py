"""The published head's pooling with a backward pass of its own: two matrix products a row, in bfloat16 where the processor has it.

What torch's own gradients cost beside the products (fresh memory for every intermediate, gradients of the softmax over packed
bags) is left out. The products are most of the work: for a row of d numbers and a width of w, forward and backward together
4 d w + 6 w^2 multiplications and additions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.head import Head
from slicebank_models.heads.scaled import ScaledHead
from slicebank_models.training.workspace import Workspace


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


def fused_pooling(head: AttentionHead, chunks: Sequence[Chunk], offset: Tensor, workspace: Workspace) -> Tensor:
    """Returns the (B, width) sums z of eq. 3, with gradients of the head's parameters.

    Args:
        head: One that `published_head` gave.
        chunks: Bags, together B.
        offset: (d,) that was taken from every row: small numbers lose less in bfloat16. W x + b is the same as
            W (x - offset) + (b + W offset), and that sum is formed in the precision of the parameters.
        workspace: Holds intermediates until the backward pass is done; until then, no other pass of this thread may use it.
    """
    pooled: Tensor = _Pooling.apply(chunks, offset, workspace, *_parameters(head))
    return pooled


def evaluate_pooling(head: AttentionHead, chunk: Chunk, offset: Tensor, workspace: Workspace) -> Tensor:
    """Returns what `fused_pooling` does for one chunk, without gradients."""
    with torch.no_grad():
        return _Pooling.forward(None, [chunk], offset, workspace, *_parameters(head))


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
        workspace: Workspace,
        weight: Tensor,
        bias: Tensor,
        attention: Tensor,
        attention_bias: Tensor,
        score: Tensor,
        score_bias: Tensor,
    ) -> Tensor:
        dtype, exact, width = chunks[0].rows.dtype, weight.dtype, len(weight)
        down, shifted = weight.to(dtype).t(), (bias + weight @ offset).to(dtype)
        # tanh(s) = 2 sigmoid(2 s) - 1, and torch is eight times as fast at the sigmoid. What is kept is tanh: near 0, bfloat16
        # has it to eight bits and the sigmoid to none.
        across, across_bias = (2 * attention).to(dtype).t(), (2 * attention_bias).to(dtype)
        n_rows = [len(chunk.rows) for chunk in chunks]
        hidden_rows = torch.split(workspace.take("hidden", sum(n_rows), width, dtype), n_rows)
        content_rows = torch.split(workspace.take("content", sum(n_rows), width, dtype), n_rows)
        pooled, kept = [], []
        for chunk, hidden, content in zip(chunks, hidden_rows, content_rows, strict=True):
            wide = workspace.take("wide", len(hidden), width, exact)
            torch.addmm(shifted, chunk.rows, down, out=hidden).relu_()
            torch.addmm(across_bias, hidden, across, out=content)
            content.copy_(wide.copy_(content).sigmoid_().mul_(2).sub_(1))
            weights = _softmax(torch.mv(wide, score[0]) + score_bias, chunk)
            pooled.append(_weighted_sum(wide.copy_(hidden), weights, chunk))
            kept.append((hidden, content, weights))
        if ctx is not None:
            ctx.chunks, ctx.kept, ctx.workspace = chunks, kept, workspace
            ctx.save_for_backward(offset, attention, score)
        return torch.cat(pooled)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        offset, attention, score = ctx.saved_tensors
        dtype, exact, width = ctx.chunks[0].rows.dtype, score.dtype, len(attention)
        # w is left to V here, and to what is summed over the rows below.
        across = (score.t() * attention).to(dtype)
        ones = torch.ones(max(len(hidden) for hidden, _, _ in ctx.kept), dtype=dtype, device=score.device)
        take: Callable[..., Tensor] = ctx.workspace.take
        sums: list[Tensor] = []
        start = 0
        for chunk, (hidden, content, weights) in zip(ctx.chunks, ctx.kept, strict=True):
            pooled = gradient[start : start + len(chunk.lengths)]
            start += len(chunk.lengths)
            wide = take("wide", len(hidden), width, exact)
            d_weights = _against_rows(wide.copy_(hidden), pooled, chunk)
            d_logits = _softmax_gradient(weights, d_weights, chunk)
            rounded, every = d_logits.to(dtype), ones[: len(hidden)]
            d_content = take("d_content", len(hidden), width, dtype)
            d_hidden = take("d_hidden", len(hidden), width, dtype)
            torch.ops.aten.tanh_backward.grad_input(
                rounded.unsqueeze(1).expand_as(content), content, grad_input=d_content
            )
            torch.mm(d_content, across, out=d_hidden)
            _add_weighted(d_hidden, weights.to(dtype), pooled.to(dtype), chunk)
            torch.ops.aten.threshold_backward.grad_input(d_hidden, hidden, 0, grad_input=d_hidden)
            found = (
                torch.mm(d_hidden.t(), chunk.rows).to(exact),
                torch.mv(d_hidden.t(), every).to(exact),
                torch.mm(d_content.t(), hidden).to(exact),
                torch.mv(d_content.t(), every).to(exact),
                torch.mv(content.t(), rounded).to(exact),
                d_logits.sum().reshape(1),
            )
            sums = list(found) if not sums else [total.add_(part) for total, part in zip(sums, found, strict=True)]
        d_weight, d_bias, d_attention, d_attention_bias, d_score, d_score_bias = sums
        d_weight.addr_(d_bias, offset)
        d_attention.mul_(score.t())
        d_attention_bias.mul_(score[0])
        ctx.kept = ctx.chunks = None
        return None, None, None, d_weight, d_bias, d_attention, d_attention_bias, d_score.unsqueeze(0), d_score_bias


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
    if chunk.common and rows.is_cuda:
        return torch.bmm(rows.view(len(chunk.lengths), chunk.common, -1), gradient.unsqueeze(2)).view(-1)
    # One bag after the other, for on a processor torch.bmm is six times slower where one of the matrices is a vector.
    bags = zip(torch.split(rows, chunk.lengths), gradient, strict=True)
    return torch.cat([torch.mv(bag, one) for bag, one in bags])


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
