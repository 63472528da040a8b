"""The supervisor: starts broker, API and workers in order, keeps them running, and ends them with itself."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from slicebank_service.serving.broker import EmbeddedBroker, embedded_broker
from slicebank_service.serving.children import Children, ChildSpec, open_lifeline
from slicebank_service.serving.data_dir import load_api_key, only_one, write_client_file
from slicebank_service.serving.errors import StartFailed
from slicebank_service.serving.listening import listen, url_of
from slicebank_service.settings import ServiceSettings
from slicebank_store.catalogue import Catalogue
from slicebank_store.pacs.sources import load_sources

WORKERS = ("embed", "train", "predict")

# A cold disk takes half a minute to load the API.
_START_SECONDS = 120.0
# Workers hand their jobs back between two batches; a batch on a slow CPU takes seconds.
_GRACE_SECONDS = 20.0
_TEND_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Serving:
    """What a started service tells its user.

    Attributes:
        url: where the API answers.
        client_file: the file by which SDK and CLI find it.
    """

    url: str
    client_file: Path


class _Stopped(Exception):
    """The supervisor was asked to end."""


class Supervisor:
    """Runs the whole service below one data folder, from the main thread.

    Args:
        settings: what to run; its host is where the API listens.
        port: port of the API; 0 takes a free one, None the default or the next free one.
        tell: takes sentences for the user.
        listens: whether a DICOM listener runs too.
        worker_command: program and arguments to which a worker's kind is added.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        port: int | None,
        tell: Callable[[str], None],
        listens: bool = False,
        worker_command: tuple[str, ...] = (sys.executable, "-m", "slicebank_worker"),
    ) -> None:
        self._settings = settings
        self._port = port
        self._tell = tell
        self._listens = listens
        self._worker_command = worker_command
        self._stopping = False

    def run(self, ready: Callable[[Serving], None]) -> None:
        """Serves until SIGINT, SIGTERM or SIGHUP.

        Args:
            ready: called once the API answers and client.json is written.

        Raises:
            ServeError: the service cannot be started; nothing is left running.
        StoreError: nor can it, for want of a usable catalogue, project or list of PACS.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        # What this service writes, patients' data among it, is its owner's alone.
        os.umask(0o077)
        data_dir = self._settings.resolved_data_dir
        load_sources(self._settings)  # what cannot be read is said here, and not by children that start again and again
        with only_one(data_dir), contextlib.ExitStack() as stack:
            key = self._settings.api_key
            api_key = key.get_secret_value() if key else load_api_key(data_dir)
            listening = stack.enter_context(listen(self._settings.host, self._port))
            broker = None if self._settings.broker_url else stack.enter_context(embedded_broker(data_dir))
            environment = {
                **os.environ,
                "SLICEBANK_DATA_DIR": str(data_dir),
                "SLICEBANK_API_KEY": api_key,
                "SLICEBANK_LOG_LEVEL": self._settings.log_level,
                # `python -m` would look for modules in the user's folder first, where any random.py could lie.
                "PYTHONSAFEPATH": "1",
                # OpenMP threads that spin while they wait take the cores from whoever could work meanwhile.
                "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
                **({"SLICEBANK_BROKER_URL": broker.url} if broker else {}),
            }
            children = Children(data_dir / "logs", environment, self._tell, open_lifeline())
            stack.callback(children.stop, _GRACE_SECONDS)
            # A stale file would send the key to whoever takes the port next.
            stack.callback((data_dir / "client.json").unlink, missing_ok=True)
            with contextlib.suppress(_Stopped):
                self._start(children, broker, listening.fileno())
                url = url_of(listening)
                self._wait_until_healthy(children, url)
                ready(Serving(url, write_client_file(data_dir, url=url, api_key=api_key)))
                while True:
                    self._tend(children)
                    time.sleep(_TEND_SECONDS)

    def _start(self, children: Children, broker: EmbeddedBroker | None, listening: int) -> None:
        if broker is not None:
            children.start(broker.spec)
        catalogue = Catalogue.create_or_upgrade(self._settings.resolved_catalogue_url)
        with contextlib.closing(catalogue):
            catalogue.projects.settle(
                self._settings.project, uids=self._settings.uid_policy, patients=self._settings.patient_policy
            )
        api = (sys.executable, "-m", "slicebank_service", "--fd", str(listening))
        children.start(ChildSpec("api", api, pass_fds=(listening,)))
        if broker is not None:
            broker.wait_until_answers(lambda: self._tend(children))
        more = tuple(f"embed-{number}" for number in range(2, self._settings.embed_workers + 1))
        for name in (*WORKERS, *more):
            children.start(ChildSpec(name, (*self._worker_command, name.split("-")[0])))
        if self._listens:
            children.start(ChildSpec("listen", (sys.executable, "-m", "slicebank_service.dicom_network")))

    def _wait_until_healthy(self, children: Children, url: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _healthy(url):
            if time.monotonic() > deadline:
                raise StartFailed(f"the API does not answer; its log is {children.log_dir / 'api.log'}")
            self._tend(children)
            time.sleep(0.05)

    def _tend(self, children: Children) -> None:
        if self._stopping:
            raise _Stopped
        children.tend()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _healthy(url: str) -> bool:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=2.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
