"""The labels table of a head: a key column and label columns, from CSV text or from rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from slicebank_models.errors import MalformedLabels
from slicebank_models.heads.targets import LabelKey, LabelTable

# Tried in this order on the first line; European spreadsheets write semicolons.
_DELIMITERS = (",", ";", "\t")
# Characters of one cell; DICOM's longest identifiers have 64.
_MAX_CELL = 256

Rows = Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]]


def read_labels(labels: str | Rows, *, max_rows: int) -> LabelTable:
    """Reads a labels table.

    Args:
        labels: CSV text (comma, semicolon or tab; a byte order mark is ignored), or rows: objects, or lists of which the
            first is the header.
        max_rows: most rows taken.

    Raises:
        MalformedLabels: not such a table; the sentence names the line.
    """
    lines = _from_text(labels) if isinstance(labels, str) else _from_rows(labels)
    if not lines:
        raise MalformedLabels(
            "the labels are empty; the first line must name series_uid, study_uid or patient, then the labels"
        )
    (_, header), *body = lines
    key, columns = _header(header)
    if len(body) > max_rows:
        raise MalformedLabels(f"the labels have {len(body)} rows; at most {max_rows} are taken")
    rows: dict[str, tuple[str, ...]] = {}
    seen_at: dict[str, int] = {}
    for line, cells in body:
        name, values = _row(line, cells, len(columns))
        if rows.setdefault(name, values) != values:
            raise MalformedLabels(
                f"line {line} names the same {key} as line {seen_at[name]}, with other labels; keep one of the two"
            )
        seen_at.setdefault(name, line)
    if not rows:
        raise MalformedLabels("the labels have a header and no rows")
    return LabelTable(key, columns, rows)


def _header(cells: Sequence[str]) -> tuple[LabelKey, tuple[str, ...]]:
    first, columns = cells[:1], [cell.strip() for cell in cells[1:]]
    keys = ", ".join(LabelKey)
    try:
        key = LabelKey("".join(first).strip().lower())
    except ValueError:
        raise MalformedLabels(
            f"the first column of the labels must be one of {keys}, and the first line must say which"
        ) from None
    if not columns:
        raise MalformedLabels(f"the labels have no column beside {key}; add one column a label")
    if any(not column for column in columns):
        raise MalformedLabels("every column of the labels needs a name in the first line")
    if len(set(columns)) != len(columns):
        raise MalformedLabels("two columns of the labels have the same name; rename one")
    return key, tuple(columns)


def _row(line: int, cells: Sequence[str], n_columns: int) -> tuple[str, tuple[str, ...]]:
    if len(cells) != n_columns + 1:
        raise MalformedLabels(f"line {line} of the labels has {len(cells)} cells, the first line has {n_columns + 1}")
    key, *values = (cell.strip() for cell in cells)
    if not key:
        raise MalformedLabels(f"line {line} of the labels has an empty first cell")
    return key, tuple(values)


def _from_text(text: str) -> list[tuple[int, list[str]]]:
    text = text.removeprefix("\ufeff")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        # Spreadsheets leave lines of nothing but delimiters at the end.
        return [
            (reader.line_num, [_plain(reader.line_num, cell) for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise MalformedLabels(f"line {reader.line_num} of the labels is not CSV: {error}") from error


def _from_rows(rows: Rows) -> list[tuple[int, list[str]]]:
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping | list | tuple) for row in rows):
        raise MalformedLabels("the labels must be CSV text, or a list of rows, each an object or a list of cells")
    if not rows:
        return []
    first = rows[0]
    if isinstance(first, Mapping):
        header = list(first)
        lines: list[list[Any]] = [list(header)]
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping) or not row.keys() <= set(header):
                raise MalformedLabels(
                    f"row {number} of the labels has other names than the first; give every row the same"
                )
            lines.append([row.get(name) for name in header])
    else:
        lines = [list(row) for row in rows if not isinstance(row, Mapping)]
        if len(lines) != len(rows):
            raise MalformedLabels(
                "the rows of the labels must be all objects, or all lists of which the first is the header"
            )
    return [(number, [_cell(number, value) for value in line]) for number, line in enumerate(lines)]


def _cell(number: int, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return _plain(number, str(value))
    raise MalformedLabels(f"row {number} of the labels holds something that is neither text nor a number")


def _plain(number: int, cell: str) -> str:
    """The cell, if it is text that every part of the service can keep: lone surrogates and control characters are not."""
    if len(cell) > _MAX_CELL:
        raise MalformedLabels(f"line {number} of the labels has a cell of more than {_MAX_CELL} characters")
    if not cell.replace("\t", " ").isprintable():
        raise MalformedLabels(
            f"line {number} of the labels holds characters that are no text; save the table as CSV, UTF-8"
        )
    return cell
