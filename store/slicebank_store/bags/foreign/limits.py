"""What reading one foreign file may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from slicebank_store.types import JSON

MEBIBYTE = 1 << 20

REFUSED = 3
"""Exit status of the confined process: the file is not taken."""


@dataclass(frozen=True, slots=True)
class ForeignLimits:
    """Bounds of one file and of the process that opens it.

    Attributes:
        values_bytes: most bytes of rows as float32; 600 rows of 576 numbers are 1.4 MB, a whole-slide image of 100,000 rows of 1,024
            numbers 410 MB.
        rows: most rows.
        dim: longest row.
        slices: most slices.
        objects: most groups and datasets of a file; those of known layouts have some ten.
        chunk_bytes: largest chunk, unpacked: it is in memory as a whole.
        memory_bytes: address space of the process; Python, numpy and HDF5 take some 500 MB of it.
        cpu_s: CPU time of the process, seconds.
        wall_s: its time altogether, seconds.
    """

    values_bytes: int = 512 * MEBIBYTE
    rows: int = 2_000_000
    dim: int = 65_536
    slices: int = 100_000
    objects: int = 1_000
    chunk_bytes: int = 128 * MEBIBYTE
    memory_bytes: int = 2048 * MEBIBYTE
    cpu_s: int = 30
    wall_s: int = 120

    def as_dict(self) -> JSON:
        """The bounds as JSON; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JSON) -> Self:
        """Reads what `as_dict` wrote."""
        return cls(**value)
