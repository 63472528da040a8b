"""Bags: their metadata, and their arrays once loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class BagWindow:
    """A Hounsfield window: `low` and `high` in HU."""

    name: str = ""
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Bag:
    """One bag: the rows of one stack of a series under one encoder recipe; `sha256` is that of its HDF5 file."""

    bag_id: str
    series_uid: str
    encoder: str = ""
    recipe: JSON = field(default_factory=dict)
    revision: int = 0
    stack: int = 0
    n_rows: int = 0
    n_slices: int = 0
    dim: int = 0
    dtype: str = "float32"
    windows: tuple[BagWindow, ...] = ()
    sha256: str = ""
    size_bytes: int = 0
    study_uid: str = ""
    level: str = "slice"
    created_at: datetime | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class BagArrays:
    """The content of a bag in memory, as numpy arrays.

    N rows, S slices, W windows, N = S * W and row = slice * W + window; slices run from inferior to superior, 0-based.

    Attributes:
        features: float32 (N, D).
        slice_index: int32 (N,), the slice of each row.
        window_index: int8 (N,), the window of each row, an index into `windows`.
        slice_number: int32 (S,), the slices of the stack that are in the bag, ascending; what could not be decoded is
            left out.
        z_mm: float64 (S,), position of each slice along the slice normal.
        sop_instance_uid: the DICOM object of each slice, S strings.
        instance_number: int32 (S,).
        thumbnails: JPEG bytes of each slice, S items; empty when the bag holds none.
        windows: the windows by index.
        attrs: every root attribute of the file; those written as JSON are parsed.
    """

    features: Any
    slice_index: Any
    window_index: Any
    slice_number: Any
    z_mm: Any
    sop_instance_uid: tuple[str, ...]
    instance_number: Any
    thumbnails: tuple[bytes, ...]
    windows: tuple[BagWindow, ...]
    attrs: JSON
