"""What a service has already: a labels table by series, study or patient, and nothing to send."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slicebank.benchmark.case import Case
from slicebank.benchmark.datasets.tables import read_rows
from slicebank.errors import DatasetProblem


class StoredSeries:
    """Rows of a labels table whose first column is what the task is keyed by.

    Args:
        labels: the table.
        key: series_uid, study_uid or patient.

    Raises:
        DatasetProblem: the table cannot be read, has no such column, or names a key twice.
    """

    name = "series"

    def __init__(self, labels: Path, key: str) -> None:
        rows = list(read_rows(labels, (key,)))
        self._rows = {row.pop(key): row for row in rows}
        if len(self._rows) < len(rows):
            raise DatasetProblem(f"{labels.name} names a {key} twice; one row each.")

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: what the service lacks is said when it is asked."""
        return ()

    def cases(self) -> Sequence[Case]:
        """Rows by key."""
        return [
            Case(uid, "", {column: (value,) for column, value in row.items()}, uid=uid)
            for uid, row in sorted(self._rows.items())
        ]

    def files_of(self, case: Case, scratch: Path) -> None:
        """Nothing to send."""
        return

    def patient_to_say(self, case: Case) -> None:
        """Nothing to send."""
        return

    def mark(self, case: Case) -> str:
        """Always the same."""
        return "stored"
