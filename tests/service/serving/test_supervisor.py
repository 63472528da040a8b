from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service.serving.test_children import gone, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the children of a process below /proc"),
]

# The whole supervisor, but for workers that do nothing and load nothing.
SCRIPT = """
import sys, pathlib
from slicebank_service.serving.supervisor import Supervisor
from slicebank_service.settings import ServiceSettings
worker = (sys.executable, "-c", "import time; time.sleep(1000)")
settings = ServiceSettings(data_dir=pathlib.Path(sys.argv[1]))
Supervisor(settings, port=0, tell=print, worker_command=worker).run(ready=lambda serving: print(serving.url, flush=True))
print("ended", flush=True)
"""


class Served:
    def __init__(self, process: subprocess.Popen[str], data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.client_file = data_dir / "client.json"

    def client(self) -> httpx.Client:
        found = json.loads(self.client_file.read_text())
        return httpx.Client(
            base_url=found["url"], headers={"Authorization": f"Bearer {found['api_key']}"}, trust_env=False, timeout=30
        )

    def children(self) -> dict[int, str]:
        """Process id -> command line."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in listed}


@contextmanager
def started(data_dir: Path) -> Iterator[Served]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLICEBANK_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data_dir)], text=True, stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("http://127.0.0.1:"), "it says where it is once it is up"
        yield Served(process, data_dir)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def test_the_life_of_a_service(tmp_path: Path) -> None:
    with started(tmp_path) as served:
        assert stat.S_IMODE(served.client_file.stat().st_mode) == 0o600
        with served.client() as client:
            assert client.get("/health").json() == {"status": "ok"}
            until(lambda: client.get("/ready").json()["notifications"], "hears of jobs")
            assert client.get("/v1/jobs").json()["items"] == []
            (api,) = [pid for pid, command in served.children().items() if "slicebank_service" in command]
            client.get("/v1/series/1.2.840.4711.4711")
            os.kill(api, signal.SIGKILL)
        with served.client() as client:
            assert client.get("/health").status_code == 200, "a restarted API keeps its port"
        assert api not in served.children()
        second = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert "slicebank already serves" in second.stderr
        children = served.children()
        assert len(children) == 5
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 0
        assert all(gone(pid) for pid in children)
    assert not served.client_file.exists()
    log = (tmp_path / "logs" / "api.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["event"] == "request" and line["route"].endswith("/series/{series_uid}") for line in lines)
    assert "4711.4711" not in log
    assert {path.stem for path in (tmp_path / "logs").iterdir()} == {"api", "broker", "embed", "train", "predict"}


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with started(tmp_path) as served:
        children = served.children()
        assert len(children) == 5
        served.process.kill()
        served.process.wait()
        until(lambda: all(gone(pid) for pid in children), "children are gone")
    with started(tmp_path) as again, again.client() as client:
        assert client.get("/health").status_code == 200, "what a killed one left behind does no harm"
