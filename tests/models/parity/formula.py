"""Weights and inputs by formula, for comparing an encoder of ours with the official implementation of its architecture.

A tensor of the official implementation called `name`, of n elements, gets its values from
`u = seeded_uniform(SEED, name, shape, 1.0)` (encoders/seeding.py: n numbers in [-1, 1), the same on every machine):

| tensor | value |
|---|---|
| last part of the name is `running_var` | 1 + 0.5 u |
| last part of the name is `running_mean` or `bias`, or ends in `_bias` | 0.1 u |
| one dimension otherwise (scales of norms, layer scales) | 1 + 0.1 u |
| integer tensors | zeros |
| everything else | u * gain * sqrt(3 / fan_in), fan_in = product of all dimensions but the first |

A golden names the exceptions that its architecture needs (`overrides` in `parity_tensor`), for example decay rates that must be
negative. So nothing is zero or one that an implementation could forget to apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from slicebank_models.encoders.seeding import seeded_uniform

SEED = 6

Override = Callable[[str, tuple[int, ...], Tensor], Tensor | None]
"""From (name, shape, u) to the value, or None where the table above holds."""


def parity_tensor(
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    *,
    gain: float = 1.0,
    override: Override | None = None,
) -> Tensor:
    """One tensor of the table above."""
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    u = torch.from_numpy(seeded_uniform(SEED, name, shape, 1.0))
    if override is not None and (own := override(name, shape, u)) is not None:
        return own
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 1 + 0.5 * u
    if leaf in ("running_mean", "bias") or leaf.endswith("_bias"):
        return 0.1 * u
    if len(shape) <= 1:
        return 1 + 0.1 * u
    return u * (gain * math.sqrt(3.0 / math.prod(shape[1:])))


def parity_state(
    like: Mapping[str, Tensor], *, gain: float = 1.0, override: Override | None = None
) -> dict[str, Tensor]:
    """Values for every tensor of an official `state_dict()`."""
    return {
        name: parity_tensor(name, tuple(tensor.shape), tensor.dtype, gain=gain, override=override)
        for name, tensor in like.items()
    }


def parity_rows(size: int, count: int = 3) -> Tensor:
    """(count, size, size) uint8: noise, a disc on a ramp, and stripes, in this order, then noise again."""
    at = np.arange(size, dtype=np.float64)
    y, x = np.meshgrid(at, at, indexing="ij")
    disc = np.where((x - 0.4 * size) ** 2 + (y - 0.55 * size) ** 2 < (0.25 * size) ** 2, 200.0, 100.0 * x / size)
    stripes = 255.0 * ((y // 7 + x // 13) % 2)
    rows = [disc, stripes]
    images = []
    for index in range(count):
        noise = (seeded_uniform(SEED, f"rows.{index}", (size, size), 1.0).astype(np.float64) + 1.0) * 127.5
        images.append(rows[index - 1] if 1 <= index <= len(rows) else noise)
    return torch.from_numpy(np.floor(np.stack(images)).astype(np.uint8))


def parity_volumes(shape: tuple[int, int, int], low: float, high: float, count: int = 3) -> Tensor:
    """(count, *shape) float32 in [low, high]: coarse noise over gradients along each axis, a ball in every second one."""
    grids = np.meshgrid(*(np.linspace(-1.0, 1.0, side) for side in shape), indexing="ij")
    volumes = []
    for index in range(count):
        coarse = seeded_uniform(SEED, f"volume.{index}", (8, 8, 8), 1.0).astype(np.float64)
        cells = [np.minimum(np.arange(side) * 8 // side, 7) for side in shape]
        values = 0.5 * coarse[np.ix_(*cells)] + 0.3 * grids[index % 3]
        if index % 2:
            ball = (grids[0] - 0.1) ** 2 + (grids[1] + 0.2) ** 2 + grids[2] ** 2 < 0.2
            values = np.where(ball, 0.8, values)
        volumes.append(low + (high - low) * (np.clip(values, -1.0, 1.0) + 1.0) / 2.0)
    return torch.from_numpy(np.stack(volumes).astype(np.float32))
