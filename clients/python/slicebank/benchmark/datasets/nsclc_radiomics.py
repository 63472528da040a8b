"""NSCLC-Radiomics (LUNG1) as TCIA gives it out: `LUNG1-001/STUDY/SERIES/1-001.dcm` and the clinical table; a case is a patient.

Aerts et al., https://doi.org/10.7937/K9/TCIA.2015.PF0M9REI
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from slicebank.benchmark.case import Case
from slicebank.benchmark.datasets.tables import mark_of, read_rows
from slicebank.errors import DatasetProblem

TABLES, PATIENT = "*[Cc]linical*.csv", "PatientID"
_FOLDER = re.compile(r"LUNG1-\d{3}")


class NsclcRadiomics:
    """Patients of the clinical table whose folder is there; segmentations and structures in it are passed over by the service.

    Args:
        folder: with the table, and with the patients' folders in it or in folders below.

    Raises:
        DatasetProblem: there are no such folders, or not exactly one such table.
    """

    name = "nsclc_radiomics"

    def __init__(self, folder: Path) -> None:
        found = (path for pattern in ("*", "*/*", "*/*/*") for path in sorted(folder.glob(pattern)) if path.is_dir())
        self._folders: dict[str, Path] = {}
        for path in found:
            if _FOLDER.fullmatch(path.name):
                self._folders.setdefault(path.name, path)
        if not self._folders:
            raise DatasetProblem(f"{folder} has no folders such as LUNG1-001.")
        tables = sorted(folder.rglob(TABLES))
        if len(tables) != 1:
            raise DatasetProblem(f"{folder} needs one clinical table (*clinical*.csv); there are {len(tables)}.")
        self._rows = {row[PATIENT]: row for row in read_rows(tables[0], (PATIENT,))}
        self._left_out: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Patients with a row and no folder, and the other way round."""
        return self._left_out

    def cases(self) -> Sequence[Case]:
        """Patients by name."""
        both = sorted(self._rows.keys() & self._folders.keys())
        absent, untold = len(self._rows) - len(both), len(self._folders) - len(both)
        self._left_out = tuple(
            sentence
            for count, sentence in (
                (absent, f"{absent} patients of the clinical table have no folder."),
                (untold, f"{untold} folders are of patients whom the clinical table does not name."),
            )
            if count
        )
        facts = {name: {column: (value,) for column, value in self._rows[name].items()} for name in both}
        return [Case(name, name, facts[name]) for name in both]

    def files_of(self, case: Case, scratch: Path) -> Path:
        """The patient's own folder."""
        return self._folders[case.name]

    def patient_to_say(self, case: Case) -> str | None:
        """Nothing: the files say it."""
        return None

    def mark(self, case: Case) -> str:
        """Of all files of the patient."""
        return mark_of([path for path in self._folders[case.name].rglob("*") if path.is_file()])
