"""What VMamba's tensors get beside the table of `formula.py`, and how its maps are summed up.

| tensor | value | why |
|---|---|---|
| `A_logs` | u | rates from -2.7 to -0.4 |
| `dt_projs_bias` | -4 + 2 u | step sizes from 0.002 to 0.13: states that last from a few positions to most of a row |
| `x_proj_weight`, `dt_projs_weight` | u sqrt(3 / last axis) | four matrices in one tensor; steps, b and c depend on the input |
| linear layers of the branches' ends | half of the table's | eleven and more blocks would otherwise amplify rounding |
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def override(name: str, shape: tuple[int, ...], u: Tensor) -> Tensor | None:
    """For `parity_state` and `Golden.state`."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "A_logs":
        return u
    if leaf == "dt_projs_bias":
        return -4.0 + 2.0 * u
    if leaf in ("x_proj_weight", "dt_projs_weight"):
        return u * math.sqrt(3.0 / shape[-1])
    if name.endswith(("out_proj.weight", "mlp.fc2.weight")):
        return u * (0.5 * math.sqrt(3.0 / shape[1]))
    return None


SAMPLES = 64


def summary(channels_last: Tensor) -> Tensor:
    """Of a (B, H, W, C) map: SAMPLES values at even distances, then mean and standard deviation."""
    flat = channels_last.contiguous().flatten()
    places = torch.arange(SAMPLES) * flat.numel() // SAMPLES
    spread, mean = torch.std_mean(flat.double())
    return torch.cat([flat[places].double(), mean[None], spread[None]]).float()


def scan_inputs() -> dict[str, Tensor]:
    """Arguments of a scan of two images, three groups of five channels, 45 positions and four states; and dy."""
    from slicebank_models.encoders.seeding import seeded_uniform

    def drawn(name: str, *shape: int) -> Tensor:
        return torch.from_numpy(seeded_uniform(6, f"scan.{name}", shape, 1.0))

    return {
        "u": drawn("u", 2, 15, 45),
        "delta": drawn("delta", 2, 15, 45),
        "A": -torch.exp(drawn("A", 15, 4)),
        "B": drawn("B", 2, 3, 4, 45),
        "C": drawn("C", 2, 3, 4, 45),
        "D": drawn("D", 15),
        "delta_bias": -1.0 + drawn("delta_bias", 15),
        "dy": drawn("dy", 2, 15, 45),
    }


def block_input() -> tuple[Tensor, Tensor]:
    """(2, 6, 5, 16) channels-last input of one SS2D of 16 channels, and the gradient of its output."""
    from slicebank_models.encoders.seeding import seeded_uniform

    values = [torch.from_numpy(seeded_uniform(6, f"ss2d.{name}", (2, 6, 5, 16), 1.0)) for name in ("x", "dy")]
    return values[0], values[1]
