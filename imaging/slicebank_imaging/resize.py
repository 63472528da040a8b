"""Resizing to the encoder's input: shorter side to size, then the centre (torchvision's Resize and CenterCrop).

Pillow's arithmetic is the definition. Workers use faster ways for 8-bit rows, which stay within one grey level of it.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Interpolation(StrEnum):
    """How pixels are weighed; both filters are widened where a picture shrinks, so that every pixel counts."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"

    @property
    def resize_name(self) -> str:
        """What recipes call the resize: its filter, and the geometry of this module."""
        return f"pil-{self.value}-antialias-shorter-side-center-crop"

    @classmethod
    def of_resize(cls, name: str) -> "Interpolation":
        """Inverse of `resize_name`.

        Raises:
            ValueError: no resize has this name.
        """
        for interpolation in cls:
            if interpolation.resize_name == name:
                return interpolation
        raise ValueError(f"there is no resize {name!r}")


_PILLOW = {Interpolation.BILINEAR: Image.Resampling.BILINEAR, Interpolation.BICUBIC: Image.Resampling.BICUBIC}


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


def resize_gray8(
    image: NDArray[np.uint8], size: int, interpolation: Interpolation = Interpolation.BILINEAR
) -> NDArray[np.uint8]:
    """Antialiased resize of 8-bit grey levels.

    Args:
        image: (rows, columns).
        size: Side of the result, pixels.
        interpolation: How pixels are weighed.

    Returns:
        (size, size).
    """
    return np.asarray(_resize(Image.fromarray(image), size, interpolation), dtype=np.uint8)


def resize_hu(
    image: NDArray[np.float32], size: int, interpolation: Interpolation = Interpolation.BILINEAR
) -> NDArray[np.float32]:
    """Antialiased resize of Hounsfield units, with the same geometry as `resize_gray8`.

    Args:
        image: (rows, columns), HU.
        size: Side of the result, pixels.
        interpolation: How pixels are weighed.

    Returns:
        (size, size), HU.
    """
    picture = Image.fromarray(image.astype(np.float32, copy=False))
    return np.asarray(_resize(picture, size, interpolation), dtype=np.float32)


def _resize(image: Image.Image, size: int, interpolation: Interpolation) -> Image.Image:
    down, across = resize_plan(image.height, image.width, size)
    if (down.resized, across.resized) != (image.height, image.width):
        if interpolation is Interpolation.BICUBIC:
            # The cubic overshoots and is cut off between the passes, so their order matters, and newer versions of Pillow choose it
            # by the shape: across goes first, as it does for squares in all of them.
            image = image.resize((across.resized, image.height), _PILLOW[interpolation])
        image = image.resize((across.resized, down.resized), _PILLOW[interpolation])
    if image.size == (size, size):
        return image
    return image.crop((across.first, down.first, across.first + size, down.first + size))
