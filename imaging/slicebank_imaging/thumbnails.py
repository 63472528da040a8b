"""Small JPEG pictures of slices."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DEFAULT_SIZE = 256
DEFAULT_QUALITY = 80


def jpeg_thumbnail(gray: NDArray[np.uint8], size: int = DEFAULT_SIZE, quality: int = DEFAULT_QUALITY) -> bytes:
    """A JPEG no larger than `size` pixels on its longer side, in the proportions of the slice.

    Args:
        gray: (rows, columns), grey levels.
        size: Longer side, pixels.
        quality: 1 to 95, as Pillow counts.
    """
    image = Image.fromarray(gray)
    image.thumbnail((size, size), Image.Resampling.BILINEAR)
    buffer = BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
