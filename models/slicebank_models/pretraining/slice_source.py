"""Where pre-training's slices come from: what every source yields, whatever files it reads. No torch here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LesionBox:
    """A box around a lesion in one slice, in pixels of that slice; fractions are allowed.

    Attributes:
        row_start: First row.
        row_stop: One past the last row.
        column_start: First column.
        column_stop: One past the last column.
    """

    row_start: float
    column_start: float
    row_stop: float
    column_stop: float


@dataclass(frozen=True, slots=True, eq=False)
class SourceSlice:
    """One axial slice with what is known of it.

    Attributes:
        hu: int16 (rows, columns), HU, as displayed: row 0 in front, column 0 at the patient's right.
        patient: Pseudonym; slices of one patient are never on both sides of a split.
        series: Name of the series within the source.
        position: Of the slice in its series, 0-based from inferior; gaps mean slices that are not there.
        boxes: Lesions; none where no lesion is annotated.
        label: A class of the slice for the linear probe, such as DeepLesion's lesion type; empty where unknown.
        pixel_mm: Distance between columns, mm; 0 where unknown.
    """

    hu: NDArray[np.int16]
    patient: str
    series: str
    position: int
    boxes: tuple[LesionBox, ...] = ()
    label: str = ""
    pixel_mm: float = 0.0


class SliceSource(Protocol):
    """Slices of one data set, read one by one.

    Attributes:
        name: Short, for messages and for the record of a run, such as `deeplesion`.
    """

    name: str

    def __len__(self) -> int:
        """How many slices there are, at least about, for the progress bar."""
        ...

    def slices(self) -> Iterator[SourceSlice]:
        """Yields every slice once, always in the same order.

        Raises:
            SourceProblem: Nothing can be read. Slices that cannot be read are left out and named in `left_out`.
        """
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for everything that was not taken, complete once `slices` has ended."""
        ...
