"""The selective scan as it is written down: one position after the other.

For each channel, with step sizes s = softplus(delta + bias) and a state of N numbers that starts at 0:
h_t = exp(s_t A) h_(t-1) + s_t B_t u_t, and y_t = C_t . h_t + D u_t (Gu and Dao, Mamba, arXiv:2312.00752, section 3).
Channels come in G groups that share B and C. Slow, differentiable by autograd, and what every other form is held against.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,  # noqa: N803 (the field's letters)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    D: Tensor | None = None,  # noqa: N803
    delta_bias: Tensor | None = None,
    *,
    delta_softplus: bool = True,
) -> Tensor:
    """Scans u (B, G E, L), delta (B, G E, L), A (G E, N), B and C (B, G, N, L), D and delta_bias (G E) to (B, G E, L)."""
    batch, channels, length = u.shape
    each = channels // B.shape[1]
    steps = delta if delta_bias is None else delta + delta_bias[:, None]
    if delta_softplus:
        steps = F.softplus(steps)
    state = u.new_zeros(batch, channels, A.shape[1])
    outputs = []
    for at in range(length):
        b = B[..., at].repeat_interleave(each, dim=1)  # (B, G E, N)
        c = C[..., at].repeat_interleave(each, dim=1)
        step = steps[:, :, at, None]
        state = torch.exp(step * A) * state + step * b * u[:, :, at, None]
        outputs.append((state * c).sum(dim=-1))
    y = torch.stack(outputs, dim=-1)
    return y if D is None else y + D[:, None] * u


def cross_scan_reference(
    image: Tensor,
    delta: Tensor,
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    D: Tensor,  # noqa: N803
    delta_bias: Tensor,
) -> Tensor:
    """The 2D selective scan of VMamba (Liu et al., arXiv:2401.10166): four orders, each a scan of its own, summed.

    The orders are row by row, column by column, and both backwards. Here the image is copied out in each order, scanned,
    and every result put back where it came from.

    Args:
        image: (B, E, H, W).
        delta: (B, 4, E, H, W): of each direction, at the pixel that it belongs to.
        A: (4, E, N).
        B: (B, 4, N, H, W).
        C: (B, 4, N, H, W).
        D: (4, E).
        delta_bias: (4, E).

    Returns:
        (B, E, H, W).
    """
    total = torch.zeros_like(image)
    for k in range(4):
        u, step, b, c = (_in_order(maps, k) for maps in (image, delta[:, k], B[:, k], C[:, k]))
        y = selective_scan_reference(u, step, A[k], b[:, None], c[:, None], D[k], delta_bias[k])
        total = total + _back_in_place(y, k, image.shape[-2], image.shape[-1])
    return total


def _in_order(maps: Tensor, k: int) -> Tensor:
    """(B, C, H, W) to (B, C, H W) in the order of direction k."""
    turned = maps.transpose(-1, -2) if k in (1, 3) else maps
    line = turned.flatten(-2)
    return line.flip(-1) if k >= 2 else line


def _back_in_place(line: Tensor, k: int, height: int, width: int) -> Tensor:
    """What `_in_order` took out, back in place."""
    line = line.flip(-1) if k >= 2 else line
    if k in (1, 3):
        return line.view(*line.shape[:-1], width, height).transpose(-1, -2)
    return line.view(*line.shape[:-1], height, width)
