"""A real S3 server for tests: SeaweedFS from pip, all its parts in one process on free ports of this machine."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.cluster.processes import ServerProcess, free_ports

BUCKET = "bank"
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test-secret"

# Starting takes 3 s on an idle machine: the master elects itself, then the volume server reports to it.
_START_S = 60.0
_PARTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
_PORTS = (*_PARTS, "s3.port", "s3.port.grpc")


class SeaweedServer:
    """One server with one bucket. It keeps its ports and its data over stop and start.

    Attributes:
        endpoint: of the S3 gateway.
        filer: of the plain HTTP view of the same files, for looking behind the gateway: `{filer}/buckets/{bucket}/{key}`.
    """

    bucket = BUCKET
    access_key_id = ACCESS_KEY_ID
    secret_access_key = SECRET_ACCESS_KEY

    def __init__(self, folder: Path) -> None:
        """Prepares a server that keeps everything below a folder."""
        self._folder = folder
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
        self.filer = f"http://127.0.0.1:{self._ports['filer.port']}"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        key = {"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}
        identities = {"identities": [{"name": "test", "credentials": [key], "actions": actions}]}
        (folder / "s3.json").write_text(json.dumps(identities))
        self._process = ServerProcess(self._command(), folder / "log")

    @property
    def environment(self) -> dict[str, str]:
        """The settings of slicebank that keep blobs here."""
        return {
            "SLICEBANK_BLOBS_URL": f"s3://{BUCKET}/blobs",
            "SLICEBANK_S3_ENDPOINT": self.endpoint,
            "SLICEBANK_S3_REGION": "us-east-1",
            "SLICEBANK_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "SLICEBANK_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }

    @property
    def pid(self) -> int:
        """Process id of the running server, for those who pause it."""
        return self._process.pid

    def _command(self) -> list[str]:
        binary = Path(sys.executable).with_name("weed")
        command = [str(binary if binary.exists() else shutil.which("weed")), "server", f"-dir={self._folder / 'data'}"]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={self._folder / 's3.json'}"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.preStopSeconds=0"]
        # Small volumes in any number: each bucket takes seven at its first object.
        command += ["-volume.max=100", "-master.volumeSizeLimitMB=64", "-master.electionTimeout=1s"]
        return command + [f"-{name}={port}" for name, port in self._ports.items()]

    def start(self) -> None:
        """Starts the server and waits until it stores and gives back."""
        self._process.start()
        self._wait_until_ready()

    def stop(self) -> None:
        """Asks the server to end, and ends it when it takes longer; it can be started again."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server as a power cut would; it can be started again."""
        self._process.end(signal.SIGKILL)

    def _wait_until_ready(self) -> None:
        """Waits until an object makes it through gateway, filer, master and volume server."""
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            client_options={"allow_http": True, "timeout": "5s", "connect_timeout": "1s"},
            retry_config={"max_retries": 0},
        )
        deadline = time.monotonic() + _START_S
        while True:
            assert self._process.running, f"weed ended; see {self._folder / 'log'}"
            try:
                # Not empty: what is empty never reaches the volume server.
                obstore.put(store, "started", b"x")
                obstore.get(store, "started").bytes()
                obstore.delete(store, "started")
            except (BaseError, FileNotFoundError):
                assert time.monotonic() < deadline, f"weed does not answer; see {self._folder / 'log'}"
                time.sleep(0.1)
            else:
                return

    def read(self, path: str) -> bytes:
        """Content of an object, behind the gateway's back; raises FileNotFoundError."""
        try:
            with urllib.request.urlopen(f"{self.filer}/buckets/{BUCKET}/{path}") as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise FileNotFoundError(path) from None
        return content

    def write(self, path: str, data: bytes) -> None:
        """Changes or makes an object behind the gateway's back."""
        request = urllib.request.Request(f"{self.filer}/buckets/{BUCKET}/{path}", data=data, method="PUT")
        urllib.request.urlopen(request).close()

    def names(self, folder: str = "") -> list[str]:
        """Paths of all files below a folder of the bucket, the parts of unfinished uploads among them (`.uploads/`)."""
        found: list[str] = []
        pending = [folder.strip("/")]
        while pending:
            here = pending.pop()
            url = f"{self.filer}/buckets/{BUCKET}/{here}/?limit=10000".replace("//?", "/?")
            request = urllib.request.Request(url, headers={"Accept": "application/json"})
            try:
                with urllib.request.urlopen(request) as answer:
                    entries = json.load(answer)["Entries"] or []
            except urllib.error.HTTPError as error:
                error.close()
                continue
            for entry in entries:
                path = entry["FullPath"].removeprefix(f"/buckets/{BUCKET}/")
                is_folder = bool(entry["Mode"] & (1 << 31))  # Go's os.ModeDir
                (pending if is_folder else found).append(path)
        return sorted(found)
