"""The scan in plain torch operations on any device: two levels of chunks in place of a loop over positions.

A line of L positions is cut into about sqrt(L) chunks of about sqrt(L). All chunks are walked side by side from a zero
state, which gives what each adds; the states at the chunks' starts follow from these one after the other; a second walk
from the right starts gives the outputs. That is 3 sqrt(L) vectorised steps, stable for any decay (no quotients of
products), with working memory of one step. Arrays are those of `ordered.ordered_scan`.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

# Numbers in one step's state: on a CPU it should stay in the cache, a GPU wants work.
_STEP_NUMBERS = {"cpu": 2**19, "cuda": 2**24}


def forward(
    u: Tensor,
    delta: Tensor,
    rates: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor,
    bias: Tensor,
    orders: Tensor,
    softplus: bool,
) -> Tensor:
    """Returns y (B, L, D), the sum over directions."""
    y = torch.zeros_like(u)
    for k, images in _groups(u, rates, orders):
        order = orders[k]
        found = _scan(
            u[images][:, order], delta[k, images][:, order], rates[k], b[k, images][:, order], c[k, images][:, order],
            skip[k], bias[k], softplus,
        )  # fmt: skip
        y[images] += torch.empty_like(found).index_copy_(1, order, found)
    return y


def backward(
    u: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor, skip: Tensor, bias: Tensor, orders: Tensor,
    softplus: bool, dy: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of (u, delta, rates, b, c, skip, bias): the forward pass of one direction at a time, recomputed and undone."""
    gradients = [torch.zeros_like(tensor) for tensor in (u, delta, rates, b, c, skip, bias)]
    for k, images in _groups(u, rates, orders):
        order = orders[k]
        leaves = [u[images], delta[k, images], rates[k], b[k, images], c[k, images], skip[k], bias[k]]
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.enable_grad():
            lines = [leaf[:, order] for leaf in (*leaves[:2], *leaves[3:5])]
            found = _scan(lines[0], lines[1], leaves[2], lines[2], lines[3], leaves[5], leaves[6], softplus)
            parts = torch.autograd.grad(found, leaves, dy[images][:, order])
        gradients[0][images] += parts[0]
        for whole, part in ((1, parts[1]), (3, parts[3]), (4, parts[4])):
            gradients[whole][k, images] = part
        for whole, part in ((2, parts[2]), (5, parts[5]), (6, parts[6])):
            gradients[whole][k] += part
    return tuple(gradients)


def _groups(u: Tensor, rates: Tensor, orders: Tensor) -> Iterator[tuple[int, slice]]:
    """Direction by direction, as many images at a time as the step's state allows."""
    chunks = math.isqrt(max(u.shape[1] - 1, 0)) + 1
    limit = _STEP_NUMBERS.get(u.device.type, _STEP_NUMBERS["cpu"])
    count = max(1, limit // (chunks * rates.shape[1] * rates.shape[2]))
    for k in range(orders.shape[0]):
        for first in range(0, u.shape[0], count):
            yield k, slice(first, first + count)


def _scan(
    u: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor, skip: Tensor, bias: Tensor, softplus: bool
) -> Tensor:
    """One direction, positions already in order: u, delta (B, L, D), rates (N, D), b, c (B, L, N), skip, bias (D)."""
    batch, length, channels = u.shape
    steps = F.softplus(delta + bias) if softplus else delta + bias
    size = math.isqrt(max(length - 1, 0)) + 1
    chunks = -(-length // size)
    over = chunks * size - length
    # A step of 0 leaves the state as it is, so that padding changes nothing.
    pieces = [F.pad(line, (0, 0, 0, over)) for line in (steps, steps * u, b, c)]
    steps_of, driven_of, b_of, c_of = (
        piece.view(batch * chunks, size, -1).unbind(1) for piece in pieces
    )  # of each place in a chunk, (B chunks, D or N)
    state = u.new_zeros(batch * chunks, *rates.shape)
    for step, driven, b_at in zip(steps_of, driven_of, b_of, strict=True):
        state = _advanced(state, step, driven, b_at, rates)
    added = state.view(batch, chunks, *rates.shape).unbind(1)
    kept = torch.exp(pieces[0].view(batch, chunks, size, channels).sum(2)[:, :, None] * rates).unbind(1)
    starts = [torch.zeros_like(added[0])]
    for factor, addend in zip(kept[:-1], added[:-1], strict=True):
        starts.append(factor * starts[-1] + addend)
    state = torch.stack(starts, dim=1).flatten(0, 1)
    outputs = []
    for step, driven, b_at, c_at in zip(steps_of, driven_of, b_of, c_of, strict=True):
        state = _advanced(state, step, driven, b_at, rates)
        outputs.append(torch.bmm(c_at.unsqueeze(1), state).squeeze(1))
    y = torch.stack(outputs, dim=1).view(batch, chunks * size, channels)[:, :length]
    return y + skip * u


def _advanced(state: Tensor, step: Tensor, driven: Tensor, b: Tensor, rates: Tensor) -> Tensor:
    decay = torch.exp(step.unsqueeze(1) * rates)
    return torch.addcmul(decay * state, b.unsqueeze(2), driven.unsqueeze(1))
