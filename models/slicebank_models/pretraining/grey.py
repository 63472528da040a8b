"""Grey levels of views: windows, blur, brightness, contrast and solarisation, in batch."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.errors import BadPretrainingSetting

WHITE = 255.0
# Blurs are given for views of this side, the one of MoCo v3.
BLUR_SIDE = 224


def window_bounds(names: Sequence[str], windows: Mapping[str, tuple[float, float]]) -> Tensor:
    """(W, 2) float32, lowest and highest HU of the windows named, in their order.

    Raises:
        BadPretrainingSetting: There is no window of a name.
    """
    for name in names:
        if name not in windows:
            raise BadPretrainingSetting(
                f"views.windows: there is no window {name!r:.60}; there are {', '.join(windows)}."
            )
    return torch.tensor([windows[name] for name in names], dtype=torch.float32)


def window_grey(hu: Tensor, bounds: Tensor) -> Tensor:
    """Grey levels 255 * clip((HU - low) / (high - low), 0, 1), unrounded.

    Args:
        hu: (B, S, S) of any number type, HU.
        bounds: (B, 2) float32, low and high.

    Returns:
        (B, S, S) float32.
    """
    low, high = bounds.view(-1, 2, 1, 1).unbind(1)
    return hu.to(torch.float32, copy=True).sub_(low).mul_(WHITE / (high - low)).clamp_(0.0, WHITE)


def blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, mirrored at the borders as torchvision's, with a kernel as long as the view.

    Args:
        views: (B, size, size) float32.
        sigma: (B,) standard deviations, pixels of these views; above 0. On the CPU, so that no device is waited for.
    """
    size = views.shape[1]
    # Pixels beyond a border are those within, without the border's own: -1 is 1. They weigh less than 1e-7 from `corner` on.
    corner = min(size - 1, math.ceil(6 * float(sigma.max())))
    sharp = (0.5 / sigma.to(views.device).square()).view(-1, 1)
    bell = torch.exp(-torch.arange(1 - size, size, device=views.device, dtype=views.dtype).square() * sharp)
    bell /= bell.sum(dim=1, keepdim=True)
    kernel = bell.unfold(1, size, 1).flip(1)  # (B, row, column): bell at column - row
    beyond = F.pad(bell[:, size:], (0, corner))  # (B, offset - 1)
    mirrored = beyond.unfold(1, corner, 1)[:, :corner]  # (B, row, column - 1): bell at row + column
    kernel[:, :corner, 1 : corner + 1] += mirrored
    kernel[:, size - corner :, size - 1 - corner : size - 1] += mirrored.flip(1, 2)
    return kernel @ views @ kernel.mT


def jitter(views: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiplies grey levels by `brightness`, then their distance from the view's mean by `contrast`; then clips.

    Args:
        views: (B, size, size) float32.
        brightness: (B,) factors.
        contrast: (B,) factors.
    """
    brightness, contrast = brightness.view(-1, 1, 1), contrast.view(-1, 1, 1)
    mean = views.mean(dim=(1, 2), keepdim=True)
    return (views * (brightness * contrast) + (1 - contrast) * brightness * mean).clamp_(0.0, WHITE)


def solarise(views: Tensor, chosen: Tensor) -> Tensor:
    """Inverts the grey levels above 127.5 of the views chosen, (B,) bool."""
    return torch.where(chosen.view(-1, 1, 1) & (views > WHITE / 2), WHITE - views, views)
