"""Small bags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags import BagFile, BagHeader, BagSlice, BagWriter, SkippedSlice
from slicebank_store.types import BagLevel

from ..builders import RECIPE

DIM = 8


def header_of(n_slices: int, *, level: BagLevel = BagLevel.SLICE, n_windows: int = 2) -> BagHeader:
    return BagHeader(
        name="b" * 32,
        series_uid="1.2.3",
        revision=1,
        stack=0,
        level=level,
        recipe=replace(RECIPE, windows=RECIPE.windows[:n_windows]),
        content_digest="c" * 64,
        slices=tuple(
            BagSlice(
                z_mm=-10 + 2.5 * index,
                instance_number=None if index == 1 else 100 - index,
                sop_instance_uid=f"1.2.{index}",
                frame_number=1,
            )
            for index in range(n_slices)
        ),
        geometry={"n_slices": n_slices},
        rescale={"slope": 1.0},
        rows=512,
        columns=480,
        field_of_view_mm=400.5,
        software="slicebank 0",
        created_at=1_700_000_000.25,
    )


def rows_of(n_slices: int, n_windows: int = 2, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n_slices * n_windows, DIM)).astype(np.float32)


def write(
    path: Path, n_slices: int, *, skipped: tuple[int, ...] = (), n_windows: int = 2, thumbnails: bool = False
) -> tuple[BagFile, NDArray[np.float32]]:
    """Writes a bag slice by slice, last slice first; the file and the rows (S, W, D) of all slices."""
    rows = rows_of(n_slices, n_windows).reshape(n_slices, n_windows, DIM)
    writer = BagWriter(path, header_of(n_slices, n_windows=n_windows), n_slices=n_slices, n_windows=n_windows, dim=DIM)
    for index in reversed(range(n_slices)):
        if index not in skipped:
            writer.append_slice(index, rows[index], f"jpeg {index}".encode() if thumbnails else None)
    left_out = [SkippedSlice(index, f"1.2.{index}", "truncated") for index in skipped]
    return writer.close({"device": "cpu", "dtype": "float32"}, left_out), rows
