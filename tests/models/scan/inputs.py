"""Arguments of scans: random, with decays from fast to slow."""

from __future__ import annotations

import torch
from torch import Tensor


def scan_arguments(
    *,
    batch: int = 2,
    groups: int = 3,
    each: int = 5,
    length: int = 45,
    states: int = 4,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias of `selective_scan`."""
    generator = torch.Generator().manual_seed(length + states)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    channels = groups * each
    return [
        drawn(batch, channels, length),
        drawn(batch, channels, length),
        -torch.exp(drawn(channels, states)),
        drawn(batch, groups, states, length),
        drawn(batch, groups, states, length),
        drawn(channels),
        drawn(channels) - 2,
    ]


def cross_arguments(
    *,
    batch: int = 2,
    height: int = 5,
    width: int = 7,
    channels: int = 6,
    states: int = 3,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """image (B, E, H, W), delta (B, 4, E, H, W), A (4, E, N), B, C (B, 4, N, H, W), D, delta_bias (4, E)."""
    generator = torch.Generator().manual_seed(height * width)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    return [
        drawn(batch, channels, height, width),
        drawn(batch, 4, channels, height, width),
        -torch.exp(drawn(4, channels, states)),
        drawn(batch, 4, states, height, width),
        drawn(batch, 4, states, height, width),
        drawn(4, channels),
        drawn(4, channels) - 2,
    ]


def channels_last(arguments: list[Tensor]) -> list[Tensor]:
    """The same arguments as `cross_scan` takes them."""
    image, delta, rates, b, c, through, bias = arguments
    maps = [tensor.flatten(-2).permute(1, 0, 3, 2) for tensor in (delta, b, c)]
    return [image.permute(0, 2, 3, 1), maps[0], rates, maps[1], maps[2], through, bias]
