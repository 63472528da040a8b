"""DeepLesion as the NIH publishes it: `Images_png/000001_01_01/103.png` and `DL_info.csv`; a case is one such folder.

Yan et al., J. Med. Imaging 5(3), 2018. https://nihcc.app.box.com/v/DeepLesion
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicebank.benchmark.case import Case
from slicebank.benchmark.datasets.tables import mark_of, read_rows
from slicebank.errors import DatasetProblem

IMAGES, TABLES = "Images_png", "[Dd][Ll]_info*.csv"
STORED_ZERO = 32768  # HU 0, in a PNG
TYPE, NOISY, SPLIT, SPACING = "Coarse_lesion_type", "Possibly_noisy", "Train_Val_Test", "Spacing_mm_px_"
_SERIES = re.compile(r"\d{6}_\d{2}_\d{2}")
_SLICE = re.compile(r"(\d{3,5})\.png", re.IGNORECASE)


@dataclass(slots=True)
class _Series:
    types: list[str] = field(default_factory=list)
    split: str = ""
    spacing: tuple[float, float, float] | None = None  # mm, columns, rows, slices


class DeepLesion:
    """Series with lesions of known type; rows marked as possibly noisy do not count.

    Args:
        folder: with `Images_png`, perhaps inside itself as unpackers leave it, and the table.

    Raises:
        DatasetProblem: either is missing, or the table is another one.
    """

    name = "deeplesion"

    def __init__(self, folder: Path) -> None:
        found = next((path for path in (folder / IMAGES / IMAGES, folder / IMAGES) if path.is_dir()), None)
        if found is None:
            raise DatasetProblem(f"{folder} has no folder {IMAGES}: unpack DeepLesion's Images_png_*.zip there.")
        tables = sorted(folder.glob(TABLES))
        exact = [table for table in tables if table.name.lower() == "dl_info.csv"] or tables
        if len(exact) != 1:
            raise DatasetProblem(
                f"{folder} needs one DL_info.csv beside {IMAGES}; there are {len(tables)} such tables."
            )
        self._images = found
        self._series = _read(exact[0])
        self._left_out: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Labelled series that the folder lacks."""
        return self._left_out

    def cases(self) -> Sequence[Case]:
        """Series of which one lesion at least has a type, by name."""
        labelled = {name: series for name, series in sorted(self._series.items()) if series.types}
        there = {name: series for name, series in labelled.items() if (self._images / name).is_dir()}
        if len(there) < len(labelled):
            self._left_out = (
                f"{len(labelled) - len(there)} of {len(labelled)} labelled series have no folder of slices.",
            )
        return [
            Case(name, f"DeepLesion-{name[:6]}", {TYPE: tuple(sorted(set(series.types))), SPLIT: (series.split,)})
            for name, series in there.items()
        ]

    def files_of(self, case: Case, scratch: Path) -> Path:
        """A folder of DICOM, slice by slice."""
        from slicebank_imaging.series_writing import SeriesFacts, write_series

        columns_mm, rows_mm, slices_mm = self._series[case.name].spacing or (0.0, 0.0, 0.0)
        if min(columns_mm, rows_mm, slices_mm) <= 0:
            raise DatasetProblem(f"DL_info.csv states no spacing of {case.name}.")
        folder = scratch / case.name
        facts = SeriesFacts("DeepLesion", case.name, case.patient, (rows_mm, columns_mm), slices_mm)
        if not write_series(self._slices(case.name), folder, facts):
            raise DatasetProblem(f"{self._images / case.name} has no slices.")
        return folder

    def patient_to_say(self, case: Case) -> str | None:
        """Nothing: the files say it."""
        return None

    def mark(self, case: Case) -> str:
        """Of the slices."""
        return mark_of([path for _, path in self._pngs(case.name)])

    def _pngs(self, name: str) -> list[tuple[int, Path]]:
        named = ((path, _SLICE.fullmatch(path.name)) for path in (self._images / name).iterdir())
        return sorted((int(found[1]), path) for path, found in named if found is not None)

    def _slices(self, name: str) -> Iterator[tuple[int, Any]]:
        from slicebank_imaging.array_files import read_png_slice
        from slicebank_imaging.errors import ImagingError

        for number, path in self._pngs(name):
            try:
                yield number, read_png_slice(path, zero=STORED_ZERO)
            except ImagingError as error:
                raise DatasetProblem(f"{name}: {error.detail}.") from error


def _read(table: Path) -> dict[str, _Series]:
    found: dict[str, _Series] = defaultdict(_Series)
    for row in read_rows(table, ("File_name", TYPE, SPLIT, SPACING)):
        name = row["File_name"][:12]
        if _SERIES.fullmatch(name) is None:
            raise DatasetProblem(f"{table.name} has a File_name {row['File_name'][:40]!r} that is not DeepLesion's.")
        series = found[name]
        series.split = row[SPLIT]
        series.spacing = series.spacing or _spacing(row[SPACING])
        # Type -1 is not known.
        if row.get(NOISY, "0") != "1" and row[TYPE].isdigit():
            series.types.append(row[TYPE])
    return dict(found)


def _spacing(text: str) -> tuple[float, float, float] | None:
    try:
        across, down, between = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return across, down, between
