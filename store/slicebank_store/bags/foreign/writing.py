"""Foreign values as a bag of our own."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from slicebank_store.bags.datasets import sync, write_attributes, write_rows, write_slices
from slicebank_store.bags.foreign.reading import ForeignBag
from slicebank_store.bags.format import BagHeader
from slicebank_store.bags.writer import BagFile

# Of files that do not say what a row is of: foreign readers refuse 0.
UNKNOWN_TILE_UM = 224.0
_NO_WINDOW = -1


def write_foreign(path: Path, foreign: ForeignBag, header: BagHeader) -> BagFile:
    """Writes the bag, flushed to disk; rows belong to no window, and to a slice where the file said so.

    Args:
        path: file to write; not .h5.
        foreign: the values.
        header: with the same slices.
    """
    with h5py.File(path, "w", locking=False) as file:
        write_rows(file, header, foreign.features, foreign.coords)
        file.create_dataset("slice_index", data=foreign.slice_index)
        file.create_dataset("window_index", data=np.full(len(foreign.features), _NO_WINDOW, np.int8))
        write_slices(file, header, np.arange(len(foreign.slices), dtype=np.int32))
        file["slice_number"][...] = foreign.slice_number
        write_attributes(file, header, {"made": "elsewhere"}, [])
    sha256, size = sync(path)
    return BagFile(path, sha256, size, len(foreign.features), len(foreign.slices), ())
