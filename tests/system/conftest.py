"""A whole service for the tests of this folder: `slicebank serve` itself, with its broker, API and workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slicebank import Client


@dataclass
class Service:
    """A running service and its data folder."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    client: Client

    def pids(self, word: str) -> list[int]:
        """Processes of this service whose command line holds a word."""
        return [pid for pid, command in session_processes(self.process.pid).items() if word in command]

    def log(self, name: str) -> str:
        return (self.data_dir / "logs" / f"{name}.log").read_text()


def session_processes(session: int) -> dict[int, str]:
    """Process id and command line of every process of a session."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return {pid: command for pid, command in found.items() if command}


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)


def start_service(data_dir: Path, *, folder: Path | None = None, **environment: str) -> Service:
    log = (data_dir.parent / f"{data_dir.name}-serve.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "slicebank", "serve", "--port", "0", "--data-dir", str(data_dir)],
        env={**os.environ, **environment},
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    file = data_dir / "client.json"
    wait_until(lambda: file.exists() or process.poll() is not None, "client.json")
    assert process.poll() is None, Path(log.name).read_text()
    found = json.loads(file.read_text())
    return Service(process, data_dir, Client(found["url"], found["api_key"]))


def stop_service(service: Service, number: signal.Signals = signal.SIGTERM) -> None:
    service.client.close()
    service.process.send_signal(number)
    service.process.wait(60)
    wait_until(lambda: not session_processes(service.process.pid), "the service's processes to end")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service that all gentle tests share."""
    running = start_service(tmp_path_factory.mktemp("service") / "data")
    yield running
    stop_service(running)


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, to be broken."""
    running = start_service(
        tmp_path / "data", SLICEBANK_LEASE_SECONDS="3", SLICEBANK_HEARTBEAT_SECONDS="0.5", SLICEBANK_SWEEP_SECONDS="0.5"
    )
    yield running
    stop_service(running)
