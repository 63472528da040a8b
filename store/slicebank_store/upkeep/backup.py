"""Backing the catalogue up while it is in use, and restoring it into any database.

Pseudonym keys are not part of it: with them, pseudonyms of a stolen backup could be traced to patients.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Connection, MetaData, Table, func, insert, select, text

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.schema import (
    SCHEMA_REVISION,
    check_schema,
    migration_config,
    upgrade_schema,
)
from slicebank_store.catalogue.serving_tables import metadata
from slicebank_store.errors import BadBackup, CatalogueNotEmpty, SchemaMismatch
from slicebank_store.upkeep.backup_file import BackupHeader, reading_backup, writing_backup

# Rows in memory at once. A stack's row tells of each of its slices and may have a megabyte.
_ROWS = 50
_VERSION_TABLE = "alembic_version"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        counts: rows by table.
        size_bytes: of the file.
    """

    schema: str
    created_at: float
    counts: dict[str, int]
    size_bytes: int


def back_up(url: str, target: Path, *, software: str) -> BackedUp:
    """Writes all rows of a catalogue as they are at one moment; nobody who uses it has to wait.

    Args:
        url: SQLAlchemy URL of the catalogue.
        target: file to write or replace; appears whole or not at all, mode 0600.
        software: name and version of the writer.

    Raises:
        CatalogueMissing: there is no catalogue at this address.
        SchemaMismatch: it was written by another version.
    """
    with ExitStack() as stack:
        database = stack.enter_context(_open(url))
        check_schema(database)
        if database.sqlite_file is not None:
            # A copy, because a reader of the file itself would keep its log from being cleared for as long as it reads.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-")))
            _copy_sqlite(database.sqlite_file, folder / "catalogue.sqlite")
            database = stack.enter_context(_open(f"sqlite:///{folder / 'catalogue.sqlite'}"))
        columns = {table.name: tuple(table.columns.keys()) for table in metadata.sorted_tables}
        header = BackupHeader(SCHEMA_REVISION, time.time(), software, columns)
        connection = stack.enter_context(database.read())
        _take_your_time(connection)
        with writing_backup(target, header) as writer:
            for table in metadata.sorted_tables:
                writer.table(table.name)
                for row in connection.execute(select(table), execution_options={"yield_per": _ROWS}):
                    writer.row(list(row))
        return BackedUp(header.schema, header.created_at, dict(writer.counts), target.stat().st_size)


def restore(url: str, source: Path, *, replace: bool = False) -> BackedUp:
    """Makes a catalogue what it was when it was backed up, all or nothing; an older schema is brought to this version.

    Nobody may use the catalogue meanwhile.

    Args:
        url: SQLAlchemy URL; the catalogue is made where there is none.
        source: file written by `back_up`, from any database.
        replace: whether rows that are there may go.

    Raises:
        BadBackup: the file is damaged or no backup.
        SchemaMismatch: file or catalogue were written by a newer version.
        CatalogueNotEmpty: there are rows, and `replace` was not given.
    """
    # Read whole before anything is changed.
    with reading_backup(source) as (header, rows):
        for _ in rows:
            pass
    _check_revision(header.schema)
    counts = dict.fromkeys(header.columns, 0)
    with _open(url) as database:
        upgrade_schema(database)
        with database.write() as connection, reading_backup(source) as (_, rows):
            _take_your_time(connection)
            if not replace:
                _refuse_rows(connection)
            tables = _make_again(connection, header)
            batch: list[dict[str, Any]] = []
            current = ""
            for table, values in rows:
                if table != current or len(batch) == _ROWS:
                    _insert(connection, tables, current, batch)
                    batch, current = [], table
                batch.append(dict(zip(header.columns[table], values, strict=True)))
                counts[table] += 1
            _insert(connection, tables, current, batch)
            command.upgrade(_alembic(connection), "head")
    return BackedUp(header.schema, header.created_at, counts, source.stat().st_size)


def _make_again(connection: Connection, header: BackupHeader) -> dict[str, Table]:
    """Empty tables of the backup's schema; tables in the same database that are not slicebank's stay."""
    ours = {_VERSION_TABLE, *metadata.tables, *header.columns}
    present = MetaData()
    present.reflect(connection, only=lambda name, _: name in ours)
    present.drop_all(connection)
    command.upgrade(_alembic(connection), header.schema)
    made = MetaData()
    made.reflect(connection, only=lambda name, _: name in ours)
    tables = {table.name: table for table in made.sorted_tables if table.name != _VERSION_TABLE}
    if {name: frozenset(table.columns.keys()) for name, table in tables.items()} != {
        name: frozenset(columns) for name, columns in header.columns.items()
    }:
        msg = f"The backup's tables are not those of schema {header.schema}: take another backup."
        raise BadBackup(msg)
    for table in tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True  # what was no value is no value again, not JSON's null
    return tables


def _insert(connection: Connection, tables: dict[str, Table], name: str, batch: list[dict[str, Any]]) -> None:
    if batch:
        connection.execute(insert(tables[name]), batch)


def _refuse_rows(connection: Connection) -> None:
    for table in metadata.sorted_tables:
        count = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if count:
            msg = (
                f"The catalogue holds {count} rows in {table.name}: restore into an empty one, or give --replace to lose "
                "what is in it."
            )
            raise CatalogueNotEmpty(msg)


def _check_revision(schema: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(migration_config()).walk_revisions()}
    if schema > SCHEMA_REVISION:
        msg = f"The backup has schema {schema}, newer than {SCHEMA_REVISION}: install the slicebank that wrote it, or a newer one."
        raise SchemaMismatch(msg)
    if schema not in known:
        msg = f"The backup has schema {schema}, which never was: take another backup."
        raise BadBackup(msg)


def _alembic(connection: Connection) -> Any:
    config = migration_config()
    config.attributes["connection"] = connection
    return config


def _take_your_time(connection: Connection) -> None:
    """Lifts the limits that keep a stuck request from holding up others."""
    if connection.dialect.name == "postgresql":
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {limit} = 0"))


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copies a database that may be in use, as it is at one moment (https://sqlite.org/backup.html)."""
    origin = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    copy = sqlite3.connect(target)
    try:
        # All pages in one step, within one read transaction: in steps, every write would begin it again.
        origin.backup(copy)
    finally:
        copy.close()
        origin.close()


@contextmanager
def _open(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
