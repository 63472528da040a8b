"""What does taking in cost, beside writing the same bytes to the same disk?

A series of 512 x 512 uncompressed slices in one zip (members stored, as what cannot be packed well is; and deflated) or tar, posted to one API process
(uvicorn, SQLite, real broker, no workers) by a client that hands the file to the socket (sendfile), until the answer 202 has come. Beside it, in turn:
a plain copy of the very file, block by block, with its SHA-256; the copy alone; and the same body posted to the same web server with an application
that drops it. No variant waits for the disk (fsync). Speed is bytes of the body a second.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.long_series import SeriesWriter

if TYPE_CHECKING:
    from benchmarks.api_alone import ApiAlone

SLICES = 300
NEEDED = 0.6
BLOCK = 1 << 20


def run(form: Form) -> None:
    """Measures stored zip, deflated zip and tar against the copy of each."""
    from benchmarks.api_alone import api_alone
    from benchmarks.record import save
    from benchmarks.timing import take_turns

    figures: dict[str, Any] = {"slices": SLICES, "needed": NEEDED, "bodies": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "data").mkdir()
        series = SeriesWriter(matrix=512).write(folder / "series", SLICES, "intake")
        bodies = _bodies(series.folder, folder)
        with api_alone(folder / "data") as api, _discarding(folder) as nothing:
            for name, (path, media_type) in bodies.items():
                poster = _Poster(api, path, media_type, series.series_uid)
                variants: dict[str, Callable[[], object]] = {
                    "copy": lambda path=path: _copy(path, folder / "copy"),  # type: ignore[misc]
                    "copy_and_sha256": lambda path=path: _copy(path, folder / "copy", hashlib.sha256()),  # type: ignore[misc]
                    "web_server_alone": _Poster(nothing, path, media_type, "").send,
                    "intake": poster.post,
                }
                timings = take_turns(variants, form.pick(5, 15), between=poster.clear)
                reference = timings["copy_and_sha256"].median
                figures["bodies"][name] = {
                    "bytes": path.stat().st_size,
                    "share_of_copy_and_sha256": reference / timings["intake"].median,
                    "share_of_copy": timings["copy"].median / timings["intake"].median,
                    "web_server_alone": reference / timings["web_server_alone"].median,
                    "seconds": {variant: timing.median for variant, timing in timings.items()},
                    "spread": {variant: timing.spread() for variant, timing in timings.items()},
                }
                print(f"{name}: {json.dumps(figures['bodies'][name])}", flush=True)
    print(save("intake", __doc__ or "", figures, form))


@contextmanager
def _discarding(folder: Path) -> Iterator[ApiAlone]:
    """The web server with an application that drops every body."""
    from benchmarks.api_alone import ApiAlone, wait_until_ready
    from tests.cluster.processes import ServerProcess, free_ports

    (port,) = free_ports(1)
    server = ServerProcess(
        [sys.executable, "-m", "benchmarks.discarding", str(port)],
        folder / "discarding.log",
        PYTHONPATH=str(Path(__file__).parents[1]),
    )
    server.start()
    try:
        running = ApiAlone(port, "none", server.pid, folder)
        wait_until_ready(running)
        yield running
    finally:
        server.end(signal.SIGTERM)


def _bodies(series: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    files = sorted(path for path in series.rglob("*") if path.is_file())
    found = {}
    for name, method in (("stored_zip", zipfile.ZIP_STORED), ("deflated_zip", zipfile.ZIP_DEFLATED)):
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in files:
                archive.write(file, file.name)
        found[name] = (path, "application/zip")
    path = folder / "series.tar"
    with tarfile.open(path, "w") as archive:
        for file in files:
            archive.add(file, file.name)
    found["tar"] = (path, "application/x-tar")
    return found


def _copy(source: Path, target: Path, digest: Any = None) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(BLOCK):
            if digest is not None:
                digest.update(block)
            write.write(block)
    target.unlink()


class _Poster:
    """Posts one body again and again."""

    def __init__(self, api: ApiAlone, path: Path, media_type: str, series_uid: str) -> None:
        self._api = api
        self._path = path
        self._media_type = media_type
        self._series_uid = series_uid

    def post(self) -> None:
        """Posts, and waits for the answer.

        Raises:
            RuntimeError: the answer is not that the series was taken.
        """
        status, body = self.send()
        if status not in (200, 202) or len(body["series"]) != 1:
            raise RuntimeError(f"the upload was answered with {status}")

    def send(self) -> tuple[int, Any]:
        """Posts; status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._api.port, timeout=300)
        size = self._path.stat().st_size
        connection.putrequest("POST", "/v1/series?encoder=dummy")
        connection.putheader("Authorization", f"Bearer {self._api.key}")
        connection.putheader("Content-Type", self._media_type)
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        with self._path.open("rb") as file:
            connection.sock.sendfile(file)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    def clear(self) -> None:
        """Removes the series, its job and its files."""
        with self._api.client() as client:
            client.delete(f"/v1/series/{self._series_uid}").raise_for_status()


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
