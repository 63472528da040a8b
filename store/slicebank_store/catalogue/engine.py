"""The database under the catalogue: transactions that several processes and many threads can share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError

from slicebank_store.errors import CatalogueError

T = TypeVar("T")

# Seconds a writer waits for another; the longest transaction, taking in a large series, takes some 50 ms.
BUSY_TIMEOUT_S = 30.0
# Connections kept and at most open: FastAPI runs 40 threads, and a worker some 10.
_POOL_SIZE = 8
_POOL_OVERFLOW = 40
_WRITES = "slicebank_writes"


class Database:
    """An engine with a read and a write transaction.

    On SQLite a write transaction begins with BEGIN IMMEDIATE: it takes the write lock at once, so that what it read
    still holds when it writes, and two writers queue instead of failing. On PostgreSQL, writers lock the rows they
    decide on.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            msg = "The catalogue's address is no URL such as sqlite:////data/catalogue.sqlite: correct the settings."
            raise CatalogueError(msg) from None
        self.sqlite_file = _sqlite_file(parsed)
        options: dict[str, Any] = {"pool_size": _POOL_SIZE, "max_overflow": _POOL_OVERFLOW}
        if self.sqlite_file is not None:
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        else:
            options["pool_pre_ping"] = True
        self._engine = create_engine(parsed, hide_parameters=True, **options)  # rows must not get into logs
        self._writer = self._engine.execution_options(**{_WRITES: True})
        if self.sqlite_file is not None:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the catalogue."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes; committed at the end, rolled back on an exception."""
        with self._writer.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Runs work in a write transaction, again when another transaction made the same row first.

        Only PostgreSQL needs the second try: there two transactions may both see that a row is missing.
        """
        for _ in range(2):
            try:
                with self.write() as connection:
                    return work(connection)
            except IntegrityError:
                continue
        with self.write() as connection:
            return work(connection)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        msg = "A catalogue in memory cannot be shared by the service and its workers: name a file, sqlite:////data/catalogue.sqlite."
        raise CatalogueError(msg)
    return Path(url.database)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling begins too late and never immediately; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # An accepted job survives a power cut: WAL with the default NORMAL could lose the last transactions.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
