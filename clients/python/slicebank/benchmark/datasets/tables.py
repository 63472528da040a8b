"""Tables of data sets: CSV as publishers and spreadsheets leave them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from slicebank.errors import DatasetProblem
from slicebank.labels import DELIMITERS
from slicebank.state import digest_of


def read_rows(
    path: Path, needed: Sequence[str], wanted: Callable[[str], bool] | None = None
) -> Iterator[dict[str, str]]:
    """Rows of a table as mappings, texts stripped; one at a time, so that wide tables need no memory.

    Args:
        path: The table.
        needed: Columns that it must have; always in the rows.
        wanted: Which other columns are in the rows; all where it is left out.

    Raises:
        DatasetProblem: it cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="strict") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=first.count))
            header = [name.strip() for name in next(reader, [])]
            if absent := [name for name in needed if name not in header]:
                raise DatasetProblem(f"{path.name} has no column {', '.join(absent)}; it has {', '.join(header[:12])}.")
            kept = [(at, name) for at, name in enumerate(header) if name in needed or wanted is None or wanted(name)]
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield {name: row[at].strip() if at < len(row) else "" for at, name in kept}
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DatasetProblem(f"{path.name} cannot be read: {error}.") from error


def mark_of(paths: Sequence[Path]) -> str:
    """Digest of names, sizes and times of files; files that are gone count too."""
    parts = []
    for path in sorted(paths):
        try:
            found = path.stat()
            parts.append(f"{path.name} {found.st_size} {found.st_mtime_ns}")
        except OSError:
            parts.append(f"{path.name} gone")
    return digest_of(*parts)[:16]
