"""What a command says: tables and sentences for people, or JSON on stdout for scripts. Bars and errors go to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slicebank.records import RefusedSeries, Rejected

# Wide enough for a 64-character UID beside two ids, so that tables in files and pipes are not folded.
PIPE_COLUMNS = 200
# What a column that may be left out, or folded, wants at least.
SPARE_COLUMNS = 40


class Output:
    """Where a command writes to."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # No emoji: rich would make a picture of the :train: in a worker's name.
        self.out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
        self.err = Console(stderr=True, highlight=False, emoji=False)

    @property
    def shows_progress(self) -> bool:
        """Whether bars are drawn: on a terminal, and not for scripts."""
        return self.err.is_terminal and not self.as_json

    def json(self, value: Any) -> None:
        """Write one JSON document to stdout."""
        sys.stdout.write(json.dumps(value, indent=2, default=_jsonable) + "\n")

    def json_line(self, value: Any) -> None:
        """Write one JSON document on a line of its own, at once, for what goes on for ever."""
        sys.stdout.write(json.dumps(value, default=_jsonable) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Write a sentence for a person; text may carry rich markup."""
        if not self.as_json:
            self.out.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """Write a sentence beside the result, to stderr; text may carry rich markup."""
        if not self.as_json:
            self.err.print(text, soft_wrap=True)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, spare: Sequence[str] = ()
    ) -> None:
        """Write a table; cells that are numbers go to the right. Without rows the sentence `empty` stands for it.

        Of the columns `spare` the last are left out, and named on stderr, where a terminal is too narrow for all: an id
        that is broken over two lines cannot be copied.
        """
        cells = [list(row) for row in rows]
        if not cells:
            self.say(empty)
            return
        if self.out.is_terminal and (dropped := self._too_wide(columns, cells, spare)):
            kept = [index for index, column in enumerate(columns) if column not in dropped]
            columns, cells = [columns[index] for index in kept], [[row[index] for index in kept] for row in cells]
            self.note(f"Too narrow for {', '.join(dropped)}; --json tells all.")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            numbers = all(isinstance(row[index], (int, float)) or row[index] is None for row in cells)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in cells:
            table.add_row(*(cell_text(cell) for cell in row))
        self.out.print(table)

    def _too_wide(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], spare: Sequence[str]
    ) -> tuple[str, ...]:
        """Columns to leave out so that the others fit."""
        widths = {
            column: max(len(column), *(cell_len(cell_text(row[index])) for row in rows))
            for index, column in enumerate(columns)
        }
        # Sentences may be folded.
        widths |= {column: min(widths[column], SPARE_COLUMNS) for column in spare}
        dropped: list[str] = []
        for column in reversed(spare):
            if sum(widths.values()) + 2 * (len(widths) - 1) <= self.out.width:
                break
            del widths[column]
            dropped.append(column)
        return tuple(dropped)

    def fields(self, values: Mapping[str, object]) -> None:
        """Write names and values below each other; what has no value is left out."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in values.items():
            if value not in (None, "", {}, [], ()):
                table.add_row(name, cell_text(value))
        self.out.print(table)

    def fail(self, detail: str, *, hint: str = "", code: str = "", extra: Mapping[str, Any] | None = None) -> None:
        """Write an error: a sentence and a hint to stderr, and for scripts the same as JSON to stdout."""
        if self.as_json:
            self.json({"error": {"code": code, "detail": detail, "hint": hint, **(extra or {})}})
        self.err.print(f"[bold red]Error:[/] {escape(detail)}", soft_wrap=True)
        if hint:
            self.err.print(f"  {escape(hint)}", soft_wrap=True)


def print_refused(output: Output, rejected: Sequence[Rejected]) -> None:
    """Write refused files by code: how many, one of them, and what is wrong with it; to stderr, beside the result."""
    counts = Counter(item.code for item in rejected)
    examples = {item.code: item for item in reversed(rejected)}
    for code, count in counts.most_common():
        example = examples[code]
        files = "file" if count == 1 else "files"
        why = f"{example.detail or code}{f' [{example.tag}]' if example.tag else ''}"
        output.err.print(f"{count} {files} refused, {code}: {why} ({example.name})", markup=False, soft_wrap=True)


def print_refused_series(output: Output, refused: Sequence[RefusedSeries]) -> None:
    """Write which series nothing was taken of; what is wrong with them stands with their files."""
    for item in refused:
        files = "file" if item.n_files == 1 else "files"
        output.err.print(
            f"Series {item.series_uid} refused, {item.code} ({item.n_files} {files})", markup=False, soft_wrap=True
        )


def cell_text(value: object) -> str:
    """One value as people read it; markup in it is shown, not obeyed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        told = {name: item for name, item in value.items() if item not in (None, "", {}, [], ())}
        return escape(", ".join(f"{name} {cell_text(item)}" for name, item in told.items()))
    if isinstance(value, (list, tuple)):
        return escape(", ".join(cell_text(item) for item in value))
    return escape(str(value))


def size_text(size: int) -> str:
    """Bytes as people read them."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        raw = getattr(value, "raw", None)
        return raw or {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return str(value)
