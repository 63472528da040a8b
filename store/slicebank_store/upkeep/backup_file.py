"""The file of a catalogue's backup: gzip'd lines of JSON, the same from every database.

A header, then for each table a line with its name and a line a row (an array in the header's order of columns), parents
before children; last a line with the count of each table, without which the file is not whole.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slicebank_store.errors import BadBackup

FORMAT = 1

# Of 1 to 9: beyond, the file shrinks by hundredths and takes twice as long.
_COMPRESSION = 6


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """What a backup says of itself.

    Attributes:
        schema: revision of the catalogue's tables.
        created_at: seconds since 1970.
        software: what wrote it.
        columns: names by table, in the order of the rows' values.
    """

    schema: str
    created_at: float
    software: str
    columns: dict[str, tuple[str, ...]]


class BackupWriter:
    """Writes the lines of a backup."""

    def __init__(self, file: IO[str], header: BackupHeader) -> None:
        self._file = file
        self.counts: Counter[str] = Counter()
        columns = {table: list(names) for table, names in header.columns.items()}
        self._line(
            {
                "slicebank_backup": FORMAT,
                "schema": header.schema,
                "created_at": header.created_at,
                "software": header.software,
                "columns": columns,
            }
        )

    def table(self, name: str) -> None:
        """Begins a table."""
        self._table = name
        self.counts[name] = 0
        self._line({"table": name})

    def row(self, values: list[Any]) -> None:
        """Adds a row of the table begun last."""
        self.counts[self._table] += 1
        self._line(values)

    def end(self) -> None:
        """Says that this is all."""
        self._line({"end": dict(self.counts)})

    def _line(self, value: Any) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")


@contextmanager
def writing_backup(target: Path, header: BackupHeader) -> Iterator[BackupWriter]:
    """A writer; the file appears whole, readable by its owner alone, when the block is left without an error."""
    # mkstemp makes the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.open(raw, "wt", _COMPRESSION, encoding="utf-8") as file:
                writer = BackupWriter(file, header)
                yield writer
                writer.end()
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def reading_backup(source: Path) -> Iterator[tuple[BackupHeader, Iterator[tuple[str, list[Any]]]]]:
    """The header, and the rows with their table as they come.

    Raises:
        BadBackup: here or while rows are read: the file cannot be opened, is damaged, cut off or no backup.
    """
    with _damage(source), gzip.open(source, "rt", encoding="utf-8") as file:
        first = json.loads(next(file, "null"))
        if not isinstance(first, dict) or first.get("slicebank_backup") != FORMAT:
            msg = f"{source.name} is no backup that this slicebank reads: give a file written by `slicebank admin backup`."
            raise BadBackup(msg)
        columns = {table: tuple(names) for table, names in first["columns"].items()}
        header = BackupHeader(first["schema"], first["created_at"], first["software"], columns)
        yield header, _rows(source, file, header)


def _rows(source: Path, file: IO[str], header: BackupHeader) -> Iterator[tuple[str, list[Any]]]:
    counts: Counter[str] = Counter()
    table = ""
    with _damage(source):
        for line in file:
            value = json.loads(line)
            match value:
                case {"table": str() as table} if table in header.columns:
                    counts[table] += 0
                case {"end": dict() as promised} if promised == counts and next(file, None) is None:
                    return
                case list() if table and len(value) == len(header.columns[table]):
                    counts[table] += 1
                    yield table, value
                case _:
                    break
    msg = f"{source.name} is damaged or cut off behind row {counts.total()}: take another backup."
    raise BadBackup(msg)


@contextmanager
def _damage(source: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        msg = f"There is no file {source}: name the backup to restore."
        raise BadBackup(msg) from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        # gzip's own checksum is among them; whatever restores from the file meanwhile raises errors of other kinds.
        msg = f"{source.name} cannot be read ({type(error).__name__}): take another backup."
        raise BadBackup(msg) from error
