"""Grey levels of views: windows, blur, brightness, contrast and solarisation, in batch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

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
        sigma: (B,) standard deviations, pixels of these views; above 0.
    """
    size = views.shape[1]
    place = torch.arange(size, device=views.device, dtype=views.dtype)
    row, column = place.view(1, -1, 1), place.view(1, 1, -1)
    sharp = (0.5 / sigma.square()).view(-1, 1, 1)
    kernel = torch.exp(-(row - column).square() * sharp)
    # Pixels beyond a border are those within, without the border's own pixel: -1 is 1, size is size - 2.
    kernel[:, :, 1:] += torch.exp(-(row + column).square() * sharp)[:, :, 1:]
    kernel[:, :, :-1] += torch.exp(-(2 * (size - 1) - row - column).square() * sharp)[:, :, :-1]
    kernel /= kernel.sum(dim=2, keepdim=True)
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
