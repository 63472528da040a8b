"""Bags: one HDF5 file of row vectors a stack and recipe, which STAMP, TRIDENT, CLAM and CLEAR read unchanged."""

from slicebank_store.bags.copying import copy_bag
from slicebank_store.bags.format import BagHeader, BagSlice, SkippedSlice
from slicebank_store.bags.reader import (
    Bag,
    BagRows,
    read_ahead,
    read_bag,
    read_bag_rows,
    read_features,
    read_thumbnails,
)
from slicebank_store.bags.writer import BagFile, BagWriter

__all__ = [
    "Bag",
    "BagFile",
    "BagHeader",
    "BagRows",
    "BagSlice",
    "BagWriter",
    "SkippedSlice",
    "copy_bag",
    "read_ahead",
    "read_bag",
    "read_bag_rows",
    "read_features",
    "read_thumbnails",
]
