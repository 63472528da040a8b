"""What a job hands to the engine for one slice, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.windows import Window

Rows = NDArray[np.uint8] | NDArray[np.float32]
"""(W, S, S): one row a window, ready for the encoder."""

Features = NDArray[np.float32]
"""(rows, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredSlice:
    """A slice as decoded, whose rows are made on the device: one copy of its 16-bit values serves all windows.

    Attributes:
        ct: (rows, columns) stored values of at most 16 bits.
        windows: one row a window, in this order.
        size: side of a row, pixels.
    """

    ct: CTSlice
    windows: tuple[Window, ...]
    size: int

    def __len__(self) -> int:
        """W, the rows that it becomes."""
        return len(self.windows)


Parcel = Rows | StoredSlice
"""What makes the rows of one slice; its length is their number."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Features of one slice.

    Attributes:
        features: (W, D).
        device_s: this slice's share of the seconds that its batch took.
    """

    features: Features
    device_s: float
