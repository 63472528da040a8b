"""One's own folder: a labels table with a column `path`, relative to the folder, and perhaps `patient`; the rest are facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slicebank.benchmark.case import Case
from slicebank.benchmark.datasets.tables import mark_of, read_rows
from slicebank.errors import DatasetProblem

PATH, PATIENT = "path", "patient"


class OwnFiles:
    """DICOM files or folders, archives and NIfTI volumes, one a row.

    Args:
        folder: that paths are relative to.
        labels: the table.

    Raises:
        DatasetProblem: the table cannot be read, has no column `path`, or names a path twice.
    """

    name = "files"

    def __init__(self, folder: Path, labels: Path) -> None:
        rows = list(read_rows(labels, (PATH,)))
        self._folder = folder
        self._rows = {row[PATH]: row for row in rows}
        if len(self._rows) < len(rows):
            raise DatasetProblem(f"{labels.name} names a path twice; one row a scan.")
        self._left_out: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Rows whose path is not there."""
        return self._left_out

    def cases(self) -> Sequence[Case]:
        """Rows whose path is there, by path."""
        there = sorted(path for path in self._rows if (self._folder / path).exists())
        if len(there) < len(self._rows):
            missing = next(path for path in sorted(self._rows) if path not in there)
            self._left_out = (f"{len(self._rows) - len(there)} paths of the table are not there, {missing} for one.",)
        return [Case(path, self._rows[path].get(PATIENT) or path, _facts(self._rows[path])) for path in there]

    def files_of(self, case: Case, scratch: Path) -> Path:
        """What the row names."""
        return self._folder / case.name

    def patient_to_say(self, case: Case) -> str | None:
        """What the table says."""
        return self._rows[case.name].get(PATIENT) or None

    def mark(self, case: Case) -> str:
        """Of the file, or of all files below the folder."""
        path = self._folder / case.name
        return mark_of([item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path])


def _facts(row: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {column: (value,) for column, value in row.items() if column not in (PATH, PATIENT)}
