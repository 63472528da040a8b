"""Sources of made-up slices."""

from collections.abc import Iterator, Sequence

import numpy as np

from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice


class ListSource:
    """Slices that are there already."""

    def __init__(self, slices: Sequence[SourceSlice], name: str = "made", left_out: tuple[str, ...] = ()) -> None:
        self.name = name
        self.left_out = left_out
        self._slices = slices

    def __len__(self) -> int:
        return len(self._slices)

    def slices(self) -> Iterator[SourceSlice]:
        yield from self._slices


def made_slices(patients: int = 4, each: int = 3, side: int = 24, seed: int = 0) -> list[SourceSlice]:
    """Patient p's slice i has (p + i) % 3 boxes, and label "even" where i is even."""
    draw = np.random.default_rng(seed)
    return [
        SourceSlice(
            draw.integers(-1024, 3072, (side, side), dtype=np.int16),
            f"patient {patient}",
            f"series {patient}",
            position,
            tuple(LesionBox(1.0 + box, 2.0, 9.0 + box, 11.5) for box in range((patient + position) % 3)),
            "even" if position % 2 == 0 else "",
            0.75,
        )
        for patient in range(patients)
        for position in range(each)
    ]
