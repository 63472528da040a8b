"""Clients that are killed in the middle: what they leave behind, and how they go on."""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.long_series import SeriesWriter
from tests.chaos.proxy import Proxies
from tests.system.conftest import Service, wait_until

pytestmark = pytest.mark.system

KILLS = 10
SEED = 20_261


@pytest.fixture
def slow_line(service: Service) -> Iterator[str]:
    """The service's address behind a line of some 30 MB/s."""
    with Proxies() as proxies:
        port = proxies.front("api", urlsplit(service.client.url).port or 0)
        proxies.named["api"].delay(0.002)
        yield f"http://127.0.0.1:{port}"


def staged(service: Service) -> dict[str, int]:
    """Bytes by upload."""
    found = {}
    for folder in (service.data_dir / "staging").iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            found[folder.name] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return found


def key_of(service: Service) -> str:
    return str(json.loads((service.data_dir / "client.json").read_text())["api_key"])


def staging_is_empty(service: Service) -> bool:
    return not any((service.data_dir / "staging").iterdir())


def answered_posts(service: Service) -> int:
    return sum('"method": "POST"' in line and '"request"' in line for line in service.log("api").splitlines())


def test_a_plain_upload_that_is_cut_leaves_nothing(service: Service) -> None:
    address = urlsplit(service.client.url)
    body = os.urandom(3 << 20)
    points = random.Random(SEED)
    before = answered_posts(service)
    for kind in ("application/zip", "multipart/form-data; boundary=x", "multipart/related; boundary=x"):
        target = "/dicomweb/studies" if "related" in kind else "/v1/series"
        for _ in range(KILLS):
            connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=30)
            connection.putrequest("POST", target)
            connection.putheader("Authorization", f"Bearer {key_of(service)}")
            connection.putheader("Content-Type", kind)
            connection.putheader("Content-Length", str(len(body) + 1))
            connection.endheaders()
            part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            connection.send((part + body)[: points.randrange(1, len(body))])
            connection.close()
    wait_until(lambda: answered_posts(service) == before + 3 * KILLS, "the server to notice")
    wait_until(lambda: staging_is_empty(service), "staging to be empty")


def test_a_resumable_upload_goes_on_where_its_client_was_killed(
    service: Service, slow_line: str, tmp_path: Path
) -> None:
    SeriesWriter(matrix=512).write(tmp_path / "ct", 60, f"interrupted-{SEED}")
    size = sum(path.stat().st_size for path in (tmp_path / "ct").iterdir())
    environment = {
        **os.environ,
        "SLICEBANK_URL": slow_line,
        "SLICEBANK_API_KEY": key_of(service),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "slicebank", "--json", "upload", str(tmp_path / "ct"), "--encoder", "dummy"]
    command.append("--resumable")
    points = sorted(random.Random(SEED).sample(range(size // 50, size * 9 // 10), KILLS))
    before = staged(service)
    mine: set[str] = set()
    held = 0
    for point in points:
        client = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def arrived(at: int = point, process: subprocess.Popen[bytes] = client) -> bool:
            assert process.poll() is None, process.communicate()[1].decode()
            return sum(size for name, size in staged(service).items() if name not in before) >= at

        wait_until(arrived, f"{point} bytes to arrive")
        client.kill()
        client.communicate()
        now = {name: size for name, size in staged(service).items() if name not in before}
        mine |= set(now)
        assert sum(now.values()) >= held, "what had arrived is not sent again"
        held = sum(now.values())
    assert len(mine) == 1, "one upload, however often its client was killed"
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    (series,) = json.loads(done.stdout)["series"]
    assert series["n_slices"] == 60
    # The answer stays, until the upload expires, for a client that did not get it.
    wait_until(lambda: all(staged(service).get(name, 0) < 16_384 for name in mine), "the upload's bytes to go")
    assert not list((tmp_path / "state").rglob("*.part"))
