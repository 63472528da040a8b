"""Labels tables on their way to the server, in any of the shapes people have them in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from slicebank.errors import BadLabels

# Spreadsheets of many countries write semicolons; the server reads the same three.
DELIMITERS = (",", ";", "\t")


def labels_payload(
    labels: str | PathLike[str] | Sequence[Mapping[str, Any]] | Mapping[str, Any],
    *,
    names: Sequence[str] = (),
    key: str = "series_uid",
) -> str | list[dict[str, Any]]:
    """CSV text, or rows with the key as their first field.

    Args:
        labels: path of a CSV, its text, rows, or a mapping by key.
        names: the labels of the task, which name the value where a mapping has bare values.
        key: name of the key where labels are a mapping by key.

    Raises:
        BadLabels: an empty or unreadable table, or rows that do not agree.
    """
    if isinstance(labels, (str, PathLike)):
        text = _text(labels)
        read_header(text)
        return text
    rows = _rows_by_key(labels, names, key) if isinstance(labels, Mapping) else [dict(row) for row in labels]
    if not rows:
        raise BadLabels("The labels are empty.")
    header = list(rows[0])
    for number, row in enumerate(rows, start=1):
        if list(row) != header:
            raise BadLabels(
                f"Row {number} of the labels has the columns {', '.join(row)} instead of {', '.join(header)}."
            )
    return rows


def read_header(text: str) -> tuple[str, ...]:
    """The column names of a CSV text: the key first, then the labels.

    Raises:
        BadLabels: fewer than two columns, or no row below the header.
    """
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise BadLabels("The labels are empty.")
    delimiter = max(DELIMITERS, key=lines[0].count)
    header = tuple(cell.strip() for cell in next(csv.reader(io.StringIO(lines[0]), delimiter=delimiter)))
    if len(header) < 2:
        raise BadLabels("The labels have one column only, so there is nothing to learn.")
    if len(lines) < 2:
        raise BadLabels("The labels have a header and no rows.")
    return header


def _text(labels: str | PathLike[str]) -> str:
    """A path's content; a string with a line break is the text itself."""
    if isinstance(labels, str) and "\n" in labels:
        return labels
    path = Path(labels).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLabels(f"{path} is not text in UTF-8.", hint="Save the table as CSV with UTF-8 encoding.") from error
    except OSError as error:
        raise BadLabels(
            f"{path} cannot be read: {error.strerror or error}.", hint="Give the path of a CSV file."
        ) from error


def _rows_by_key(labels: Mapping[str, Any], names: Sequence[str], key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for identifier, value in labels.items():
        if isinstance(value, Mapping):
            rows.append({key: identifier, **value})
        else:
            # Several names with one value per key are the classes of a multiclass task, held in one column.
            rows.append({key: identifier, names[0] if len(names) == 1 else "label": value})
    return rows
