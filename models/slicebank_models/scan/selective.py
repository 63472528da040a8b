"""The two scans that models ask for, in terms of `ordered_scan`."""

from functools import lru_cache

import torch
from torch import Tensor

from slicebank_models.scan.ordered import ScanForm, ordered_scan


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,  # noqa: N803 (the field's letters)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    D: Tensor | None = None,  # noqa: N803
    delta_bias: Tensor | None = None,
    *,
    delta_softplus: bool = True,
    form: ScanForm | None = None,
) -> Tensor:
    """The scan of `reference.selective_scan_reference`, with the same arguments, fast.

    Args:
        u: (B, G E, L).
        delta: (B, G E, L).
        A: (G E, N).
        B: (B, G, N, L).
        C: (B, G, N, L).
        D: (G E), or None for no skip.
        delta_bias: (G E), or None.
        delta_softplus: Whether delta + delta_bias goes through softplus.
        form: See `ordered_scan`.

    Returns:
        (B, G E, L); float64 for float64 input, else float32.
    """
    groups, length = B.shape[1], u.shape[2]
    order = torch.arange(length, device=u.device)[None]
    none = A.new_zeros(A.shape[0])
    skips, biases = (none if vector is None else vector for vector in (D, delta_bias))
    lines, steps = u.chunk(groups, dim=1), delta.chunk(groups, dim=1)
    rates, through, offsets = A.chunk(groups), skips.chunk(groups), biases.chunk(groups)
    parts = [
        ordered_scan(
            lines[g].transpose(1, 2),
            steps[g].transpose(1, 2)[None],
            rates[g].t()[None],
            B[None, :, g].transpose(2, 3),
            C[None, :, g].transpose(2, 3),
            through[g][None],
            offsets[g][None],
            order,
            softplus=delta_softplus,
            form=form,
        )
        for g in range(groups)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2)


def cross_scan(
    image: Tensor,
    delta: Tensor,
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    D: Tensor,  # noqa: N803
    delta_bias: Tensor,
    *,
    form: ScanForm | None = None,
) -> Tensor:
    """VMamba's 2D selective scan over four orders, summed.

    Args:
        image: (B, H, W, E), channels last.
        delta: (4, B, H W, E): step sizes before bias and softplus, at the pixel they belong to, row by row.
        A: (4, E, N), negative.
        B: (4, B, H W, N).
        C: (4, B, H W, N).
        D: (4, E).
        delta_bias: (4, E).
        form: See `ordered_scan`.

    Returns:
        (B, H, W, E); float64 for float64 input, else float32.
    """
    batch, height, width, channels = image.shape
    orders = cross_orders(height, width, image.device)
    line = image.reshape(batch, height * width, channels)
    y = ordered_scan(line, delta, A.transpose(1, 2), B, C, D, delta_bias, orders, form=form)
    return y.view(batch, height, width, channels)


@lru_cache(maxsize=64)
def cross_orders(height: int, width: int, device: torch.device) -> Tensor:
    """(4, H W) int64 positions y W + x: row by row, column by column, and both backwards."""
    with torch.inference_mode(False):  # kept for later calls, which may want gradients
        grid = torch.arange(height * width, device=device).view(height, width)
        forwards = torch.stack([grid.flatten(), grid.t().flatten()])
        return torch.cat([forwards, forwards.flip(1)])
