"""Slices of any shape as squares of one side, in HU, with their boxes. No torch here."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slicebank_models.pretraining.slice_source import LesionBox

# Black in every window, as pixel padding is (imaging turns that into the same value).
PADDING_HU = -2048
# Of a box, pixels: float32, which the cache keeps, tells such edges apart in any slice.
SMALLEST = 0.01


def square_slice(hu: NDArray[np.int16], side: int) -> NDArray[np.int16]:
    """Pads a slice to a square around its centre and resizes it, antialiased and bilinear.

    Args:
        hu: (rows, columns), HU.
        side: Pixels.

    Returns:
        (side, side), HU; the slice itself where it has this shape.
    """
    rows, columns = hu.shape
    if (rows, columns) == (side, side):
        return hu
    longer = max(rows, columns)
    if rows != columns:
        square = np.full((longer, longer), PADDING_HU, np.int16)
        row, column = _offsets(rows, columns)
        square[row : row + rows, column : column + columns] = hu
        hu = square
    if longer == side:
        return hu
    picture = Image.fromarray(hu.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    resized: NDArray[np.int16] = np.rint(np.asarray(picture, np.float32)).astype(np.int16)
    return resized


def square_box(box: LesionBox, rows: int, columns: int, side: int) -> LesionBox:
    """Where a box of a slice of (rows, columns) lies in `square_slice`'s square of `side` pixels."""
    row, column = _offsets(rows, columns)
    scale = side / max(rows, columns)
    return LesionBox(
        (box.row_start + row) * scale,
        (box.column_start + column) * scale,
        (box.row_stop + row) * scale,
        (box.column_stop + column) * scale,
    )


def clip_box(box: LesionBox, rows: int, columns: int) -> LesionBox | None:
    """The part of a box that is in the picture; None where nothing to speak of is, or where the box is none."""
    edges = (box.row_start, box.column_start, box.row_stop, box.column_stop)
    if not all(math.isfinite(edge) for edge in edges):
        return None
    clipped = LesionBox(
        min(max(box.row_start, 0.0), float(rows)),
        min(max(box.column_start, 0.0), float(columns)),
        min(max(box.row_stop, 0.0), float(rows)),
        min(max(box.column_stop, 0.0), float(columns)),
    )
    height, width = clipped.row_stop - clipped.row_start, clipped.column_stop - clipped.column_start
    return clipped if height >= SMALLEST and width >= SMALLEST else None


def _offsets(rows: int, columns: int) -> tuple[int, int]:
    longer = max(rows, columns)
    return (longer - rows) // 2, (longer - columns) // 2
