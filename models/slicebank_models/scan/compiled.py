"""The compiled loops on torch tensors, and how they share the cores. Needs numba."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from slicebank_models.scan import kernels

# Below this many channels a share's fixed cost a position outweighs its work.
_LEAST_WIDTH = 64


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
    y = torch.empty_like(u)
    arrays = [tensor.detach().numpy() for tensor in (u, delta, rates, b, c, skip, bias, orders)]
    out = y.numpy()

    def work(image: int, low: int, high: int) -> None:
        kernels.forward(*arrays, softplus, image, low, high, out)

    _share(work, u.shape[0], u.shape[2])
    return y


def backward(
    u: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor, skip: Tensor, bias: Tensor, orders: Tensor,
    softplus: bool, dy: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of (u, delta, rates, b, c, skip, bias)."""
    du, d_delta, d_b, d_c = (torch.zeros_like(tensor) for tensor in (u, delta, b, c))
    d_rates = rates.new_zeros(u.shape[0], *rates.shape)  # of each image, so that images can go side by side
    arrays = [tensor.detach().numpy() for tensor in (u, delta, rates, b, c, skip, bias, orders)]
    asked = dy.detach().numpy()
    gradients = [tensor.numpy() for tensor in (du, d_delta, d_rates, d_b, d_c)]

    def work(image: int, low: int, high: int) -> None:
        kernels.backward(*arrays, softplus, asked, image, low, high, *gradients)

    # All channels of an image add to its d_b and d_c, so that only images go side by side.
    _share(work, u.shape[0], u.shape[2], split=False)
    d_skip = (dy * u).sum(dim=(0, 1)).expand_as(skip)
    return du, d_delta, d_rates.sum(0), d_b, d_c, d_skip, d_delta.sum(dim=(1, 2))


def _share(work: Callable[[int, int, int], None], images: int, channels: int, *, split: bool = True) -> None:
    """Calls work(image, low, high) for all images and channels, on as many threads as torch may use here."""
    threads = torch.get_num_threads()
    parts = max(1, min(-(-threads // images), channels // _LEAST_WIDTH)) if split else 1
    width = -(-channels // parts)
    shares = [(image, low, min(low + width, channels)) for image in range(images) for low in range(0, channels, width)]
    if threads == 1 or len(shares) == 1:
        for share in shares:
            work(*share)
        return
    with ThreadPoolExecutor(min(threads, len(shares))) as pool:
        for done in [pool.submit(work, *share) for share in shares]:
            done.result()
