"""Grey rows made on the CPU: all windows of a slice resized in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from slicebank_imaging.resize import Interpolation, resize_gray8, resize_plan


def resize_windows(
    images: Sequence[NDArray[np.uint8]], size: int, interpolation: Interpolation = Interpolation.BILINEAR
) -> NDArray[np.uint8]:
    """Antialiased resize of the windows of one slice, within 1 grey level of `slicebank_imaging.resize.resize_gray8`.

    torch weighs with 16-bit integers and takes the windows as channels, which is twice as fast as Pillow (docs/performance.md).

    Args:
        images: W windows, each (rows, columns).
        size: side of the result, pixels.
        interpolation: how pixels are weighed.

    Returns:
        (W, size, size), C-contiguous.
    """
    rows, columns = images[0].shape
    down, across = resize_plan(rows, columns, size)
    if down.resized > rows or interpolation is Interpolation.BICUBIC:
        # Of few pixels many are made: weights are large there, 16 bits too coarse for them, and speed is no concern. The cubic's
        # weights of both signs add to more than 1, for which they are too coarse everywhere.
        return np.stack([resize_gray8(image, size, interpolation) for image in images])
    stacked = torch.from_numpy(np.stack(images))  # (W, R, C)
    if (down.resized, across.resized) != stacked.shape[1:]:
        stacked = F.interpolate(stacked[None], (down.resized, across.resized), mode="bilinear", antialias=True)[0]
    kept = stacked[:, down.first : down.first + size, across.first : across.first + size]
    return kept.contiguous().numpy()
