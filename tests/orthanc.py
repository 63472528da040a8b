"""A real Orthanc with its DICOMweb plugin, in a folder of its own: a PACS to pull from and to be sent to by."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "slicebank", "a secret of the tests"


@dataclass
class Orthanc:
    """A running server.

    Attributes:
        rest: its own interface.
    """

    http_port: int
    dicom_port: int
    rest: httpx.Client

    @property
    def dicomweb(self) -> dict[str, Any]:
        """How the settings name it."""
        url = f"http://127.0.0.1:{self.http_port}/dicom-web"
        return {"kind": "dicomweb", "url": url, "username": USER, "password": PASSWORD}

    def dimse(self, **more: Any) -> dict[str, Any]:
        """The same for DIMSE."""
        return {"kind": "dimse", "host": "127.0.0.1", "port": self.dicom_port, "called_aet": "ORTHANC", **more}

    def held(self, study_uid: str) -> list[str]:
        """Its own ids of a study."""
        found: list[dict[str, str]] = self.rest.post("/tools/lookup", content=study_uid).json()
        return [item["ID"] for item in found if item["Type"] == "Study"]

    def load(self, files: Iterable[Path | bytes]) -> None:
        for file in files:
            content = file if isinstance(file, bytes) else file.read_bytes()
            answer = self.rest.post("/instances", content=content)
            assert answer.status_code == 200, answer.text


@contextmanager
def orthanc_running(folder: Path, *, listener_port: int = 0, stow_url: str | None = None) -> Iterator[Orthanc]:
    """Starts a server and stops it.

    Args:
        folder: of its files.
        listener_port: of the modality SLICEBANK on this machine, which it may send to.
        stow_url: of the DICOMweb server `slicebank` that it may send to.
    """
    binary = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if binary is None or not _PLUGIN.exists():
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port = free_port(), free_port()
    servers = (
        {} if stow_url is None else {"slicebank": {"Url": stow_url, "HttpHeaders": {"Authorization": "Bearer key"}}}
    )
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "Name": "tests",
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "HttpPort": http_port,
                "DicomPort": dicom_port,
                "DicomAet": "ORTHANC",
                "DicomCheckCalledAet": True,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": True,
                "RegisteredUsers": {USER: PASSWORD},
                "DicomModalities": {
                    "slicebank": {
                        "AET": "SLICEBANK",
                        "Host": "127.0.0.1",
                        "Port": listener_port or 11112,
                        "AllowFind": True,
                        "AllowGet": True,
                        "AllowMove": True,
                    }
                },
                "Plugins": [str(_PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": servers},
            }
        )
    )
    log = (folder / "log").open("wb")
    process = subprocess.Popen([binary, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
    rest = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", auth=(USER, PASSWORD), timeout=30, trust_env=False)
    try:
        _wait(process, rest, folder)
        yield Orthanc(http_port, dicom_port, rest)
    finally:
        rest.close()
        process.terminate()
        process.wait(30)
        log.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], rest: httpx.Client, folder: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, (folder / "log").read_text()
        try:
            if rest.get("/system").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail((folder / "log").read_text())
