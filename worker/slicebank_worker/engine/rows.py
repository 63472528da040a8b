"""From one decoded slice to the rows that an encoder reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.resize import resize_gray8, resize_hu
from slicebank_imaging.thumbnails import jpeg_thumbnail
from slicebank_imaging.windows import Window
from slicebank_worker.engine.lanes import Rows


@dataclass(frozen=True, slots=True)
class RowSpec:
    """What an encoder reads.

    Attributes:
        windows: one row a window, in this order.
        size: side of a row, pixels.
        hounsfield: rows are float32 in [0, 1] over the window instead of 8-bit grey.
        thumbnails: make a picture of the slice in its first window.
    """

    windows: tuple[Window, ...]
    size: int
    hounsfield: bool
    thumbnails: bool


@dataclass(frozen=True, slots=True)
class PreparedSlice:
    """One slice, ready for the encoder.

    Attributes:
        rows: (W, S, S) uint8 or float32.
        thumbnail: JPEG bytes, or None.
        padding_pixels: how many pixels of the slice were padding.
    """

    rows: Rows
    thumbnail: bytes | None
    padding_pixels: int


def prepare_slice(ct: CTSlice, spec: RowSpec) -> PreparedSlice:
    """Windows, quantises and resizes one slice (DESIGN's CT rules), in that order."""
    gray = [] if spec.hounsfield else [ct.render(window) for window in spec.windows]
    if spec.hounsfield:
        hu = ct.hounsfield()
        rows: Rows = np.stack([resize_hu(_unit(hu, window), spec.size) for window in spec.windows])
    else:
        rows = np.stack([resize_gray8(image, spec.size) for image in gray])
    thumbnail = jpeg_thumbnail(gray[0] if gray else ct.render(THUMBNAIL_WINDOW)) if spec.thumbnails else None
    return PreparedSlice(rows, thumbnail, ct.padding_count)


# The abdominal window of the paper shows soft tissue, which is where a reader looks first.
THUMBNAIL_WINDOW = Window("abdomen", -175.0, 275.0)


def _unit(hu: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """HU to [0, 1] over a window."""
    low, high = np.float32(window.low), np.float32(window.high)
    unit: NDArray[np.float32] = np.clip((hu - low) / (high - low), np.float32(0), np.float32(1))
    return unit
