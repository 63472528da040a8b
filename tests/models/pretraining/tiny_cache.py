"""A cache of a few small slices: noise with a body, lesions that can be seen, several patients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slicebank_models.pretraining.slice_cache import SliceCache, write_cache
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice

SIDE = 48
WINDOWS = {"abdomen": (-175.0, 275.0), "lung": (-1500.0, 500.0)}


class TinySource:
    """`patients` patients of eight slices each; every other slice has a bright square and its box.

    Args:
        patients: How many.
        labels: Classes that the slices of a patient take in turn; empty for none.
        boxes: Whether there are any.
        seed: Of the noise.
    """

    name = "tiny"

    def __init__(self, patients: int = 6, labels: tuple[str, ...] = (), *, boxes: bool = True, seed: int = 0) -> None:
        self._patients = patients
        self._labels = labels
        self._boxes = boxes
        self._seed = seed

    def __len__(self) -> int:
        return 8 * self._patients

    def slices(self) -> Iterator[SourceSlice]:
        generator = np.random.default_rng(self._seed)
        for patient in range(self._patients):
            for position in range(8):
                hu = generator.normal(40.0 + 10.0 * patient, 40.0, (SIDE, SIDE))
                hu[:4] = hu[-4:] = -1000.0
                boxes: tuple[LesionBox, ...] = ()
                if position % 2 and self._boxes:
                    row, column = generator.integers(6, SIDE - 18, 2)
                    hu[row : row + 12, column : column + 12] += 150.0
                    boxes = (LesionBox(float(row), float(column), row + 12.0, column + 12.0),)
                label = self._labels[position % len(self._labels)] if self._labels else ""
                yield SourceSlice(
                    hu.astype(np.int16), f"p{patient}", f"s{patient}", position, boxes, label, pixel_mm=1.0
                )

    @property
    def left_out(self) -> tuple[str, ...]:
        return ()


def tiny_cache(folder: Path, source: TinySource | None = None) -> SliceCache:
    """Writes and opens one."""
    write_cache([source or TinySource()], folder, side=SIDE)
    return SliceCache(folder)
