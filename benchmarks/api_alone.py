"""One API process with a real broker and no workers, so that nothing else takes its cores."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True, slots=True)
class ApiAlone:
    """Where the process listens.

    Attributes:
        pid: its process id.
        data_dir: its data folder.
    """

    port: int
    key: str
    pid: int
    data_dir: Path

    def client(self) -> httpx.Client:
        """An HTTP client with its key."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {self.key}"}, timeout=300
        )


@contextmanager
def api_alone(folder: Path, **settings: str) -> Iterator[ApiAlone]:
    """Runs the process while inside; SQLite, and everything below `folder`.

    Args:
        folder: empty.
        **settings: further environment variables.
    """
    from slicebank_store.catalogue import Catalogue
    from tests.cluster.processes import ServerProcess, free_ports
    from tests.cluster.valkey import ValkeyServer

    key, port = secrets.token_hex(16), free_ports(1)[0]
    broker = ValkeyServer(folder / "broker")
    broker.start()
    Catalogue.create_or_upgrade(f"sqlite:///{folder / 'catalogue.sqlite'}").close()
    api = ServerProcess(
        [sys.executable, "-m", "slicebank_service", "--port", str(port)],
        folder / "api.log",
        SLICEBANK_DATA_DIR=str(folder),
        SLICEBANK_BROKER_URL=broker.url(),
        SLICEBANK_API_KEY=key,
        **settings,
    )
    try:
        api.start()
        running = ApiAlone(port, key, api.pid, folder)
        wait_until_ready(running)
        yield running
    finally:
        api.end(signal.SIGTERM)
        broker.kill()


def wait_until_ready(api: ApiAlone) -> None:
    """Waits until a process answers.

    Raises:
        RuntimeError: in vain.
    """
    deadline = time.monotonic() + 60
    with api.client() as client:
        while time.monotonic() < deadline:
            try:
                if client.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise RuntimeError("the API process did not answer within a minute")
