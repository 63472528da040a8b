"""Many series, or long ones, cheaply: the slices of one short phantom again and again, with headers of their own.

Only the short phantom is ever in memory, so that a series of thousands of slices costs disk alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.inputs import Series, write_series

# Thin slices, so that thousands of them stay within the reach of a table.
_SPACING_MM = 0.5


class SeriesWriter:
    """Writes uncompressed series of one matrix; every name is another patient."""

    def __init__(self, *, matrix: int, phantom_slices: int = 60, seed: int = 51) -> None:
        """Draws the phantom.

        Args:
            matrix: rows and columns.
            phantom_slices: slices after which the pixels repeat.
            seed: of the phantom.
        """
        import pydicom

        with tempfile.TemporaryDirectory() as scratch:
            write_series(Path(scratch), phantom_slices, seed, matrix=matrix)
            self._templates = [pydicom.dcmread(path) for path in sorted(Path(scratch).iterdir())]

    def write(self, folder: Path, n_slices: int, name: str) -> Series:
        """Writes one series, one file a slice, 0.5 mm apart.

        Args:
            folder: made if it does not exist.
            n_slices: slices, from inferior to superior.
            name: decides the UIDs and the patient.
        """
        from slicebank_imaging.uids import derived_uid

        folder.mkdir(parents=True, exist_ok=True)
        series_uid = derived_uid("benchmark series", name)
        size_bytes = 0
        for index in range(n_slices):
            data = self._templates[index % len(self._templates)]
            data.PatientID = data.PatientName = name
            data.StudyInstanceUID = derived_uid("benchmark study", name)
            data.SeriesInstanceUID = series_uid
            data.FrameOfReferenceUID = derived_uid("benchmark frame", name)
            data.SOPInstanceUID = derived_uid("benchmark instance", name, str(index))
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            data.InstanceNumber = n_slices - index  # from the head down, as most scanners count
            x, y, _ = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, f"{index * _SPACING_MM:.3f}"]
            data.SliceLocation = f"{index * _SPACING_MM:.3f}"
            data.SliceThickness = f"{_SPACING_MM:g}"
            path = folder / f"{index:06d}.dcm"
            data.save_as(path, enforce_file_format=True)
            size_bytes += path.stat().st_size
        return Series(folder, series_uid, n_slices, size_bytes)
