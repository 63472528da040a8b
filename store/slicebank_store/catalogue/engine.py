"""The database under the catalogue: transactions that several processes and many threads can share."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from slicebank_store.catalogue.failures import collided, translated
from slicebank_store.errors import CatalogueError

T = TypeVar("T")

# Seconds a writer waits for another on SQLite; the longest transaction, taking in a large series, takes some 50 ms.
BUSY_TIMEOUT_S = 30.0
# Connections kept and at most open. A SQLite connection is an open file: one for each of FastAPI's 40 threads.
_SQLITE_POOL = {"pool_size": 8, "max_overflow": 40}
# A PostgreSQL connection is a process of the server, which allows 100 by default: six of ours, leaving some for people.
# Threads beyond 15 wait some milliseconds for one.
_POSTGRESQL_POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 10.0}
_POSTGRESQL_TIMEOUTS = {
    # A process that is paused within a transaction holds its locks: it is cut off before others give up waiting for it.
    "idle_in_transaction_session_timeout": "8s",
    "lock_timeout": "15s",
    # The longest question, the bags of a whole cohort, takes seconds; beyond this nobody waits for the answer any more.
    "statement_timeout": "60s",
}
# libpq's settings; one of the same name in the URL goes first, as does a timeout there on SQLite.
_POSTGRESQL_CONNECT = {
    # A server that runs answers within milliseconds; one behind a dead host never does.
    "connect_timeout": 5,
    # A connection whose packets vanish is given up after 10 s, instead of the quarter of an hour that TCP would try.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "slicebank",
    "options": " ".join(f"-c {name}={value}" for name, value in _POSTGRESQL_TIMEOUTS.items()),
}
# Transactions that may collide at once, on one name or series: twelve clients that retry at random are through by then.
_TRIES = 8
_RETRY_S = 0.02
_WRITES = "slicebank_writes"


def _to_text(value: Any) -> str:
    try:
        return to_json(value).decode()
    except PydanticSerializationError:  # text that is no UTF-8: half of a surrogate pair
        return json.dumps(value)


# Attention is hundreds of rows an answer: the standard library takes five times as long to write them, and twice to read them.
_JSON: dict[str, Any] = {"json_serializer": _to_text, "json_deserializer": from_json}
_POSTGRESQL_NAMES = ("postgresql", "postgres")  # the second is libpq's other name of the first


class Database:
    """An engine with a read and a write transaction.

    On SQLite a write transaction begins with BEGIN IMMEDIATE: it takes the write lock at once, so that what it read
    still holds when it writes, and two writers queue instead of failing. On PostgreSQL, writers lock the rows they
    decide on, in one order: series, jobs from older to newer, stacks and bags, predictions, heads by id.

    Every transaction raises `CatalogueUnavailable` where the database cannot serve it, and `IntegrityError` where it breaks a
    constraint.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            msg = "The catalogue's address is no URL such as sqlite:////data/catalogue.sqlite: correct the settings."
            raise CatalogueError(msg) from None
        self.sqlite_file = _sqlite_file(parsed)
        # Parameters are hidden because rows must not get into logs.
        if self.sqlite_file is not None:
            options = _unless_in_url(parsed, {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
            self._engine = create_engine(parsed, hide_parameters=True, connect_args=options, **_JSON, **_SQLITE_POOL)
            self._reader = self._engine
            self._writer = self._engine.execution_options(**{_WRITES: True})
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            # Pinged before use: after a restart of the server the first statement finds a new connection.
            self._engine = create_engine(
                _with_psycopg(parsed),
                hide_parameters=True,
                connect_args=_unless_in_url(parsed, _POSTGRESQL_CONNECT),
                pool_pre_ping=True,
                **_JSON,
                **_POSTGRESQL_POOL,
            )
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._writer = self._engine.execution_options(isolation_level="READ COMMITTED")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the catalogue."""
        with translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes; committed at the end, rolled back on an exception."""
        with translated(), self._writer.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Runs work in a write transaction, again where another got in its way.

        Only PostgreSQL needs that: there two transactions may both see that a row is missing and make it, or wait for each
        other's locks.
        """
        with translated():
            for attempt in range(1, _TRIES):
                try:
                    with self._writer.begin() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if not collided(error):
                        raise
                time.sleep(random.uniform(0, attempt * _RETRY_S))  # noqa: S311 - spreads those that collided
            with self._writer.begin() as connection:
                return work(connection)

    @property
    def connections_in_use(self) -> int:
        """Connections of this process that a transaction holds now."""
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() in _POSTGRESQL_NAMES:
        return None
    if url.get_backend_name() != "sqlite":
        msg = "The catalogue runs on SQLite or PostgreSQL: name sqlite:////data/catalogue.sqlite or postgresql://user@host/slicebank."
        raise CatalogueError(msg)
    if not url.database or url.database == ":memory:":
        msg = "A catalogue in memory cannot be shared by the service and its workers: name a file, sqlite:////data/catalogue.sqlite."
        raise CatalogueError(msg)
    return Path(url.database)


def _with_psycopg(url: URL) -> URL:
    """The address with the driver that is installed, also where it names none or an older one."""
    return url.set(drivername="postgresql+psycopg")


def _unless_in_url(url: URL, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in url.query}


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
