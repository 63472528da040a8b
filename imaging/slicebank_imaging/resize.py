"""Resizing to the encoder's input: shorter side to size, then the centre (torchvision's Resize and CenterCrop).

Pillow's arithmetic is the definition. Workers use faster ways for 8-bit rows, which stay within one grey level of it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESIZE_NAME = "pil-bilinear-antialias-shorter-side-center-crop"


class AxisPlan(NamedTuple):
    """How one axis is resized.

    Attributes:
        resized: pixels after resizing.
        first: first of them that the crop keeps.
        size: pixels kept.
    """

    resized: int
    first: int
    size: int


def resize_plan(rows: int, columns: int, size: int) -> tuple[AxisPlan, AxisPlan]:
    """How (rows, columns) become (size, size): a plan for rows and one for columns."""
    shorter, longer = min(rows, columns), max(rows, columns)
    scaled = longer if shorter == size else int(size * longer / shorter)  # torchvision truncates the longer side
    height, width = (size, scaled) if rows <= columns else (scaled, size)
    # torchvision rounds halves to even
    return AxisPlan(height, round((height - size) / 2.0), size), AxisPlan(width, round((width - size) / 2.0), size)


def resize_gray8(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Antialiased bilinear resize of 8-bit grey levels.

    Args:
        image: (rows, columns).
        size: Side of the result, pixels.

    Returns:
        (size, size).
    """
    return np.asarray(_resize(Image.fromarray(image), size), dtype=np.uint8)


def resize_hu(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Antialiased bilinear resize of Hounsfield units, with the same geometry as `resize_gray8`.

    Args:
        image: (rows, columns), HU.
        size: Side of the result, pixels.

    Returns:
        (size, size), HU.
    """
    return np.asarray(_resize(Image.fromarray(image.astype(np.float32, copy=False)), size), dtype=np.float32)


def _resize(image: Image.Image, size: int) -> Image.Image:
    down, across = resize_plan(image.height, image.width, size)
    if (down.resized, across.resized) != (image.height, image.width):
        image = image.resize((across.resized, down.resized), Image.Resampling.BILINEAR)
    if image.size == (size, size):
        return image
    return image.crop((across.first, down.first, across.first + size, down.first + size))
