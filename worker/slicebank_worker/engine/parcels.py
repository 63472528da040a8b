"""What a job hands to the engine for one slice or scan, and what it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.resize import Interpolation
from slicebank_imaging.windows import Window

Rows = NDArray[np.uint8] | NDArray[np.float32]
"""(W, S, S): one row a window, ready for the encoder; or (1, X, Y, Z): one volume."""

Features = NDArray[np.float32]
"""(rows, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredSlice:
    """A slice as decoded, whose rows are made on the device: one copy of its 16-bit values serves all windows.

    Attributes:
        ct: (rows, columns) stored values of at most 16 bits.
        windows: one row a window, in this order.
        size: side of a row, pixels.
        interpolation: of the resize.
    """

    ct: CTSlice
    windows: tuple[Window, ...]
    size: int
    interpolation: Interpolation = Interpolation.BILINEAR

    def __len__(self) -> int:
        """W, the rows that it becomes."""
        return len(self.windows)


Parcel = Rows | StoredSlice
"""What makes the rows of one slice or scan; its length is their number."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Features of one slice or scan.

    Attributes:
        features: (W, D).
        device_s: its share of the seconds that its batch took.
    """

    features: Features
    device_s: float


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of several parcels as one array; those of one parcel are not copied."""
    return parts[0] if len(parts) == 1 else cast("Rows", np.concatenate(parts))
