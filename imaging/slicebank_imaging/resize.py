"""Resizing to the encoder's input: shorter side to size, then the centre (torchvision's Resize and CenterCrop)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESIZE_NAME = "pil-bilinear-antialias-shorter-side-center-crop"


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
    width, height = image.size
    shorter, longer = min(width, height), max(width, height)
    if shorter != size:
        scaled = int(size * longer / shorter)  # torchvision truncates the longer side
        width, height = (size, scaled) if width <= height else (scaled, size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    top = round((height - size) / 2.0)  # torchvision rounds halves to even
    left = round((width - size) / 2.0)
    return image if (width, height) == (size, size) else image.crop((left, top, left + size, top + size))
