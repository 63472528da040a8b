"""From one decoded slice to what the engine takes: rows made here, or the slice itself where the device makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.resize import Interpolation, resize_hu
from slicebank_imaging.thumbnails import jpeg_thumbnail
from slicebank_imaging.windows import Window
from slicebank_worker.engine.host_rows import resize_windows
from slicebank_worker.engine.parcels import Parcel, Rows, StoredSlice

# The abdominal window of the paper shows soft tissue, which is where a reader looks first.
THUMBNAIL_WINDOW = Window("abdomen", -175.0, 275.0)


@dataclass(frozen=True, slots=True)
class RowSpec:
    """What an encoder reads.

    Attributes:
        windows: one row a window, in this order.
        size: side of a row, pixels.
        hounsfield: rows are float32 in [0, 1] over the window instead of 8-bit grey.
        thumbnails: make a picture of the slice in its first window.
        interpolation: of the resize.
    """

    windows: tuple[Window, ...]
    size: int
    hounsfield: bool
    thumbnails: bool
    interpolation: Interpolation = Interpolation.BILINEAR


@dataclass(frozen=True, slots=True)
class PreparedSlice:
    """One slice, ready for the engine.

    Attributes:
        parcel: its W rows (W, S, S), uint8 or float32, or what the device makes them of.
        thumbnail: JPEG bytes, or None.
        padding_pixels: how many pixels of the slice were padding.
    """

    parcel: Parcel
    thumbnail: bytes | None
    padding_pixels: int


def prepare_slice(ct: CTSlice, spec: RowSpec, *, on_device: bool = False) -> PreparedSlice:
    """Windows, quantises and resizes one slice (DESIGN's CT rules), in that order.

    Args:
        ct: the decoded slice.
        spec: what the encoder reads.
        on_device: leave grey rows of slices of at most 16 bits to the device.
    """
    parcel: Parcel
    shown: NDArray[np.uint8] | None = None
    if spec.hounsfield:
        hu = ct.hounsfield()
        parcel = np.stack([resize_hu(_unit(hu, window), spec.size, spec.interpolation) for window in spec.windows])
    elif on_device and ct.stored.dtype.itemsize <= 2:
        parcel = StoredSlice(ct, spec.windows, spec.size, spec.interpolation)
    else:
        rendered = [ct.render(window) for window in spec.windows]
        shown = rendered[0]
        parcel = resize_windows(rendered, spec.size, spec.interpolation)
    thumbnail = None
    if spec.thumbnails:
        if shown is None:
            shown = ct.render(THUMBNAIL_WINDOW if spec.hounsfield else spec.windows[0])
        thumbnail = jpeg_thumbnail(shown)
    return PreparedSlice(parcel, thumbnail, ct.padding_count)


def make_rows(parcel: Parcel) -> Rows:
    """The rows (W, S, S) of a parcel."""
    if isinstance(parcel, StoredSlice):
        rendered = [parcel.ct.render(window) for window in parcel.windows]
        return resize_windows(rendered, parcel.size, parcel.interpolation)
    return parcel


def _unit(hu: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """HU to [0, 1] over a window."""
    low, high = np.float32(window.low), np.float32(window.high)
    unit: NDArray[np.float32] = np.clip((hu - low) / (high - low), np.float32(0), np.float32(1))
    return unit
