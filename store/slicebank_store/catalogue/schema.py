"""The schema's version: checked at every start, raised by Alembic migrations inside this package."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Connection, func, inspect, literal, select, text

from slicebank_store.catalogue.engine import Database
from slicebank_store.errors import CatalogueMissing, SchemaMismatch

if TYPE_CHECKING:
    from alembic.config import Config

SCHEMA_REVISION = "0004"
"""Revision of the newest migration; a test compares."""

_MIGRATE = "slicebank admin migrate"
# Any number that nobody else on the server takes: "slicebnk" in ASCII.
_ADVISORY_KEY = 0x736C696365626E6B


def check_schema(database: Database) -> None:
    """Refuses a catalogue of another version.

    Raises:
        CatalogueMissing: there is none.
        SchemaMismatch: it is older or newer.
    """
    if database.sqlite_file is not None and not database.sqlite_file.exists():
        msg = f"There is no catalogue at {database.sqlite_file}: start `slicebank serve` or run `{_MIGRATE}`."
        raise CatalogueMissing(msg)
    with database.read() as connection:
        found = current_revision(connection)
    if found is None:
        msg = f"The database holds no catalogue: run `{_MIGRATE}` to make it."
        raise CatalogueMissing(msg)
    if found != SCHEMA_REVISION:
        msg = (
            f"The catalogue has schema {found}, this slicebank needs {SCHEMA_REVISION}: stop every slicebank process, "
            f"back the catalogue up and run `{_MIGRATE}`; if the catalogue is newer, install the newer slicebank."
        )
        raise SchemaMismatch(msg)


def upgrade_schema(database: Database) -> None:
    """Makes or upgrades the tables.

    Raises:
        SchemaMismatch: the catalogue was written by a newer version.
    """
    # Here and below, because every process checks the schema and only the supervisor changes it.
    from alembic import command

    with _alone(database.sqlite_file), database.write() as connection:
        if database.sqlite_file is None:
            _alone_on_server(connection)
        found = current_revision(connection)
        if found is not None and found > SCHEMA_REVISION:
            msg = f"The catalogue has schema {found}, newer than {SCHEMA_REVISION}: install the newer slicebank."
            raise SchemaMismatch(msg)
        config = migration_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """The schema revision of a database, or None where it holds no catalogue."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def migration_config() -> Config:
    """Alembic's settings; the migrations lie beside this file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _alone(sqlite_file: Path | None) -> Iterator[None]:
    """Lets one process at a time make or upgrade a SQLite file, and puts the file into WAL mode."""
    if sqlite_file is None:
        yield
        return
    sqlite_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sqlite_file.with_name(sqlite_file.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _enter_wal(sqlite_file)
        yield


def _alone_on_server(connection: Connection) -> None:
    """Lets one process at a time make or upgrade a PostgreSQL catalogue, for as long as that takes."""
    # Building an index over millions of rows takes longer than any statement of the service may.
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {name} = 0"))
    connection.execute(select(func.pg_advisory_xact_lock(literal(_ADVISORY_KEY, BigInteger))))


def _enter_wal(sqlite_file: Path) -> None:
    """Sets the journal mode, which stays with the file: readers then never wait for writers."""
    connection = sqlite3.connect(sqlite_file)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
