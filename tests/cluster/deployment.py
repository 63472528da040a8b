"""The distributed deployment on one machine: PostgreSQL, Valkey, S3, several API processes and workers, each a plain process."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from slicebank_service.serving.children import Child, Children, ChildSpec, open_lifeline
from slicebank_store.catalogue import Catalogue
from slicebank_store.workers import WorkerStatus, read_workers
from tests.cluster.postgres import PostgresServer
from tests.cluster.processes import free_ports
from tests.cluster.seaweed import SeaweedServer
from tests.cluster.shape import Shape
from tests.cluster.valkey import ValkeyServer

# Three workers load torch at once on two busy cores.
_START_S = 180.0
# As `slicebank serve` gives its workers to hand back their jobs.
_GRACE_S = 20.0
# A process that dies in a test is wanted again at once, also the third time.
_BACK_OFF = (0.2, 0.5, 1.0)

Front = Callable[[str, int], int]
"""From a server's name (catalogue, broker, blobs) and port to the port by which slicebank's processes reach it."""


def direct(_name: str, port: int) -> int:
    """No detour."""
    return port


class Cluster:
    """A deployment below one folder. To be used from one thread, which must live as long as it.

    Attributes:
        postgres: the catalogue's server.
        valkey: the broker.
        seaweed: the S3 server.
        urls: of the API processes.
        api_key: their key.
        catalogue_url: of the catalogue, past any proxy.
        data_dir: holds staging, keys and registered encoders, shared by all processes.
        log_dir: a log of every process.
        scratch_dir: temporary files of workers.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        *,
        settings: Mapping[str, str],
        front: Front = direct,
        tell: Callable[[str], None] = print,
    ) -> None:
        """Prepares a cluster.

        Args:
            folder: everything is kept below it.
            shape: how many processes.
            settings: SLICEBANK_* variables of all processes.
            front: where proxies stand before the servers.
            tell: takes sentences for the user.
        """
        self.shape = shape
        self.data_dir = folder / "data"
        self.log_dir = folder / "logs"
        self.scratch_dir = folder / "scratch"
        self.api_key = secrets.token_urlsafe(32)
        self.postgres = PostgresServer(self.log_dir)
        self.valkey = ValkeyServer(self.log_dir)
        self.seaweed = SeaweedServer(folder / "seaweed")
        self.catalogue_url = self.postgres.url()
        self._api_ports = free_ports(shape.apis)
        self.urls = [f"http://127.0.0.1:{port}" for port in self._api_ports]
        s3_port = int(self.seaweed.endpoint.rpartition(":")[2])
        own = {
            **self.seaweed.environment,
            "SLICEBANK_S3_ENDPOINT": f"http://127.0.0.1:{front('blobs', s3_port)}",
            "SLICEBANK_CATALOGUE_URL": self.postgres.url(front("catalogue", self.postgres.port)),
            "SLICEBANK_BROKER_URL": self.valkey.url(front("broker", self.valkey.port)),
            "SLICEBANK_DATA_DIR": str(self.data_dir),
            "SLICEBANK_API_KEY": self.api_key,
            # What killed workers leave there goes with the cluster.
            "TMPDIR": str(self.scratch_dir),
            "PYTHONSAFEPATH": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLICEBANK_")}
        self.environment = {**inherited, **own, **settings}
        self._children = Children(self.log_dir, self.environment, tell, open_lifeline(), _BACK_OFF)
        self._named: dict[str, Child] = {}

    @property
    def names(self) -> list[str]:
        """Of the processes of slicebank: api-1, embed-1 and so on."""
        return list(self._named)

    def start(self) -> None:
        """Starts everything and waits until every process is at work."""
        self.data_dir.mkdir(parents=True)
        self.scratch_dir.mkdir()
        self.postgres.start()
        self.valkey.start()
        self.seaweed.start()
        Catalogue.create_or_upgrade(self.catalogue_url).close()
        for number, port in enumerate(self._api_ports, start=1):
            self._run(f"api-{number}", "slicebank_service", "--port", str(port))
        for role, count in self.shape.workers.items():
            self.add_workers(role, count)
        self.wait_until_ready()

    def add_workers(self, role: str, count: int) -> None:
        """Starts more workers of a role."""
        present = sum(name.startswith(f"{role}-") for name in self._named)
        for number in range(present + 1, present + count + 1):
            self._run(f"{role}-{number}", "slicebank_worker", role)

    def wait_until_ready(self) -> None:
        """Waits until every API answers and every worker that runs is on the board."""
        self.wait_until(self._ready, "every process to be at work", seconds=_START_S)

    def tend(self) -> None:
        """Starts processes of slicebank again that have died; to be called often."""
        self._children.tend()

    def wait_until(self, condition: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Tends until something is so.

        Raises:
            TimeoutError: in vain.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s in vain: {what}; logs: {self.log_dir}")
            self.tend()
            time.sleep(0.1)

    def pid(self, name: str) -> int:
        """Process id of a process of slicebank; of its last one, while it is being started again."""
        return self._named[name].process.pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a process of slicebank; without effect on one that has ended."""
        self._named[name].process.send_signal(number)

    def ended(self, name: str) -> bool:
        """Whether a process of slicebank has ended and not been started again."""
        return self._named[name].process.poll() is not None

    def workers(self) -> list[WorkerStatus]:
        """What the workers last said of themselves.

        Raises:
            QueueUnavailable: the broker is away.
        """
        return read_workers(self.valkey.url())

    def catalogue(self) -> Catalogue:
        """The catalogue, past any proxy; the caller's to close."""
        return Catalogue.open(self.catalogue_url)

    def logged(self, event: str) -> int:
        """How often the processes of slicebank have logged an event."""
        logs = (self.log_dir / f"{name}.log" for name in self._named)
        return sum(log.read_text(errors="replace").count(f'"event": "{event}"') for log in logs)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `slicebank ARGUMENTS` on a machine of the cluster."""
        return subprocess.run(
            [sys.executable, "-m", "slicebank", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> None:
        """Ends everything, workers first."""
        for child in self._named.values():  # one that a test paused would not hear that it should end
            child.process.send_signal(signal.SIGCONT)
        self._children.stop(_GRACE_S)
        self.valkey.kill()
        self.seaweed.kill()
        self.postgres.remove()

    def _run(self, name: str, module: str, *arguments: str) -> None:
        self._named[name] = self._children.start(ChildSpec(name, (sys.executable, "-m", module, *arguments)))

    def _ready(self) -> bool:
        pids = {self.pid(name) for name in self._named if not name.startswith("api-")}
        return all(map(_answers, self.urls)) and pids <= {int(w.name.rpartition(":")[2]) for w in self.workers()}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
