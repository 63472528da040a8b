"""Tiny slices of TCIA, and what readers are told of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset

from benchmarks.shipped_encoder.axial_slices import COLLECTION, TakenSlice, taken
from tests.imaging.making import ct_dataset

TITLE = "A-Collection"
SIDE = 160  # a file of 51 kB, above the smallest that is looked into


def tcia_slice(number: int = 1, **changes: Any) -> Dataset:
    """One slice at z = number of a patient P1."""
    pixels = np.full((SIDE, SIDE), number, np.int16)
    data = ct_dataset(number, **{"Rows": SIDE, "Columns": SIDE, "PixelData": pixels.tobytes(), **changes})
    data.add_new(COLLECTION, "LO", TITLE)
    return data


def taken_slice(number: int = 1, **changes: Any) -> TakenSlice:
    """The same slice as readers of boxes see it."""
    return taken(
        tcia_slice(number, **changes), collection="a", repository="o/n", commit="0" * 40, path=f"d/{number}.dcm"
    )
