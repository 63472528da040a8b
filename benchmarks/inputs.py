"""CT series on disk for benchmarks: phantoms of 512 x 512 pixels with the noise of real CT, one file a slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom

MATRIX = 512
SPACING_MM = 2.5

UNCOMPRESSED = "1.2.840.10008.1.2.1"
JPEG_LS = "1.2.840.10008.1.2.4.80"


@dataclass(frozen=True, slots=True)
class Series:
    """One series on disk."""

    folder: Path
    series_uid: str
    n_slices: int
    size_bytes: int


def write_series(folder: Path, n_slices: int, seed: int, *, syntax: str = UNCOMPRESSED, matrix: int = MATRIX) -> Series:
    """Writes one series; the same arguments give the same files.

    Args:
        folder: made if it does not exist.
        n_slices: slices, from inferior to superior.
        seed: another seed, another patient.
        syntax: transfer syntax UID.
        matrix: rows and columns.
    """
    spec = PhantomSpec(seed=seed, n_slices=n_slices, size=matrix, slice_spacing_mm=SPACING_MM)
    written = write_dicom(make_phantom(spec, []), folder, transfer_syntax=syntax)
    return Series(folder, written.series_uid, n_slices, sum(path.stat().st_size for path in written.paths))
