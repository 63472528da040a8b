"""The table of a cohort: a row a case."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from slicebank.errors import BadTable
from slicebank.labels import DELIMITERS
from slicebank.state import digest_of


@dataclass(frozen=True, slots=True)
class Case:
    """One case: files below a path, or a study of a PACS; `patient` says whose it is where the files do not."""

    path: Path | None = None
    study_uid: str | None = None
    patient: str | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.path) if self.path is not None else self.study_uid or ""


CohortTable = str | PathLike[str] | Sequence[Mapping[str, Any]]


def read_cohort(table: CohortTable) -> tuple[Case, ...]:
    """Read the cases of a table; columns other than path, study_uid and patient are left alone.

    Args:
        table: path of a CSV (comma, semicolon or tab), or rows. Relative paths are looked for beside the CSV, or from the current folder
            where rows are given.

    Raises:
        BadTable: unreadable, empty, without a column path or study_uid, or a row with neither or both.
    """
    if isinstance(table, (str, PathLike)):
        file = Path(table).expanduser()
        rows: Sequence[Mapping[str, Any]] = _rows(file)
        beside = file.resolve().parent
    else:
        rows, beside = list(table), Path.cwd()
    if not rows:
        raise BadTable("The table has no rows.")
    return tuple(_case(number, row, beside) for number, row in enumerate(rows, start=1))


def cohort_key(cases: Sequence[Case], **asked: object) -> str:
    """64 hex digits that the same cases, asked for alike, have again."""
    rows = [digest_of(str(case.path or ""), case.study_uid or "", case.patient or "") for case in cases]
    return digest_of(*(f"{name}={value}" for name, value in sorted(asked.items()) if value is not None), *rows)


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(f"{file} is not text in UTF-8.", hint="Save the table as CSV with UTF-8 encoding.") from error
    except OSError as error:
        raise BadTable(
            f"{file} cannot be read: {error.strerror or error}.", hint="Give the path of a CSV file."
        ) from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    if not {"path", "study_uid"} & set(header):
        raise BadTable(f"{file} has no column path or study_uid.")
    reader.fieldnames = header
    return list(reader)


def _case(number: int, row: Mapping[str, Any], beside: Path) -> Case:
    path, study_uid, patient = (str(row.get(name) or "").strip() for name in ("path", "study_uid", "patient"))
    if bool(path) == bool(study_uid):
        raise BadTable(f"Row {number} of the table must have a path or a study_uid, and not both.")
    if not path:
        return Case(study_uid=study_uid, patient=patient or None)
    # Not resolved: a link that points elsewhere tomorrow is the same row.
    return Case(path=(beside / Path(path).expanduser()).absolute(), patient=patient or None)
