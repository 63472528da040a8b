"""RAD-ChestCT as it is published: `trn00001.npz` (key `ct`) and CSV tables; a case is one volume.

Draelos et al., Medical Image Analysis 67, 2021; https://zenodo.org/records/6406114. Volumes are HU, clipped and resampled to
`final_spacing` (0.8 mm); axes run from superior to inferior, anterior to posterior, the patient's right to left (`Extrema_35747.csv`
names them so). Labels have a column `abnormality*location` each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slicebank.benchmark.case import Case
from slicebank.benchmark.datasets.tables import mark_of, read_rows
from slicebank.benchmark.label_rules import matches
from slicebank.errors import DatasetProblem

LABELS, METADATA = "img*_Abnormality_and_Location_Labels.csv", "CT_Scan_Metadata_Complete*.csv"
SCAN, VOLUME, PATIENT, SPACING = "NoteAcc_DEID", "VolumeAcc_DEID", "MRN_DEID", "final_spacing"
KEY = "ct"
PUBLISHED_SPACING_MM = 0.8
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class RadChestCT:
    """Volumes that are there and labelled.

    Args:
        folder: with the volumes and the tables, in folders or side by side.
        columns: patterns of the label columns that are wanted; there are 4,368.

    Raises:
        DatasetProblem: there are no volumes, or no labels.
    """

    name = "rad_chestct"

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._paths = {path.name.removesuffix(".npz"): path for path in sorted(folder.rglob("*.npz"))}
        self._labels = sorted(folder.rglob(LABELS))
        if not self._paths:
            raise DatasetProblem(f"{folder} has no volumes such as trn00001.npz.")
        if not self._labels:
            raise DatasetProblem(f"{folder} has none of RAD-ChestCT's tables {LABELS}.")
        self._columns = tuple(columns)
        self._metadata = _metadata(folder)
        self._files: dict[str, str] = {}
        self._left_out: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Labelled volumes that are not there, and volumes whose patient no table names."""
        return self._left_out

    def cases(self) -> Sequence[Case]:
        """Labelled volumes by name."""
        cases, absent, strangers = {}, 0, 0
        for table in self._labels:
            for row in read_rows(table, (SCAN,), partial(matches, patterns=self._columns)):
                name = row.pop(SCAN)
                about = self._metadata.get(name, {})
                volume = about.get(VOLUME, "").removesuffix(".npz")
                self._files[name] = volume if volume in self._paths else name
                if self._files[name] not in self._paths:
                    absent += 1
                    continue
                strangers += not about.get(PATIENT)
                patient = about.get(PATIENT) or name
                # Tables write 1 and 1.0.
                facts = {column: (value.removesuffix(".0"),) for column, value in row.items()}
                cases[name] = Case(name, f"RAD-ChestCT-{patient}", facts)
        said = []
        if absent:
            said.append(f"{absent} labelled volumes are not there.")
        if strangers:
            said.append(f"No {METADATA} names the patient of {strangers} volumes; each counts as a patient of its own.")
        self._left_out = tuple(said)
        return [cases[name] for name in sorted(cases)]

    def files_of(self, case: Case, scratch: Path) -> Path:
        """A folder of DICOM."""
        from slicebank_imaging.series_writing import SeriesFacts, write_series

        slices_mm, rows_mm, columns_mm = self._spacing(case.name)
        folder = scratch / case.name
        facts = SeriesFacts("RAD-ChestCT", case.name, case.patient, (rows_mm, columns_mm), slices_mm)
        write_series(self._slices(case.name), folder, facts)
        return folder

    def patient_to_say(self, case: Case) -> str | None:
        """Nothing: the files say it."""
        return None

    def mark(self, case: Case) -> str:
        """Of the volume."""
        return mark_of([self._paths[self._files[case.name]]])

    def _spacing(self, name: str) -> tuple[float, float, float]:
        numbers = [float(part) for part in _NUMBER.findall(self._metadata.get(name, {}).get(SPACING, ""))]
        if len(numbers) == 3 and min(numbers) > 0:
            return numbers[0], numbers[1], numbers[2]
        only = numbers[0] if len(numbers) == 1 and numbers[0] > 0 else PUBLISHED_SPACING_MM
        return only, only, only

    def _slices(self, name: str) -> Iterator[tuple[int, Any]]:
        from slicebank_imaging.array_files import read_npz_volume
        from slicebank_imaging.errors import ImagingError

        try:
            volume = read_npz_volume(self._paths[self._files[name]], KEY)
        except ImagingError as error:
            raise DatasetProblem(f"{name}: {error.detail}.") from error
        yield from enumerate(volume, start=1)


def _metadata(folder: Path) -> dict[str, dict[str, str]]:
    kept = frozenset({VOLUME, PATIENT, SPACING})
    return {
        row[SCAN]: row
        for table in sorted(folder.rglob(METADATA))
        for row in read_rows(table, (SCAN,), kept.__contains__)
    }
