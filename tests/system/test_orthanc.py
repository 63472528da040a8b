"""A whole service beside a real Orthanc that holds real CT: every series comes out of it as it went in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from tests.orthanc import Orthanc, free_port, orthanc_running
from tests.system.conftest import Service, start_service, stop_service, wait_until

pytestmark = [pytest.mark.system, pytest.mark.realct]

HEAD, CHEST = "ge_head_tilt_variable_spacing", "ge_chest_with_scout_and_seg"


@pytest.fixture(scope="module")
def listener_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def orthanc(real_ct: Path, tmp_path_factory: pytest.TempPathFactory, listener_port: int) -> Iterator[Orthanc]:
    with orthanc_running(tmp_path_factory.mktemp("orthanc"), listener_port=listener_port) as running:
        for folder in (HEAD, CHEST):
            running.load(path for path in files_of(real_ct, folder))
        yield running


@pytest.fixture(scope="module")
def service(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    move = orthanc.dimse(retrieve="c-move", move_destination="SLICEBANK")
    pacs = {"web": orthanc.dicomweb, "get": orthanc.dimse(), "move": move}
    running = start_service(
        tmp_path_factory.mktemp("service") / "data",
        SLICEBANK_PACS=json.dumps(pacs),
        SLICEBANK_QUIET_SECONDS="1",
        SLICEBANK_INTAKE_ENCODER="hu_statistics",
    )
    yield running
    stop_service(running)


@pytest.fixture(scope="module")
def listener(service: Service, listener_port: int) -> Iterator[None]:
    """`slicebank listen` beside the service."""
    log = (service.data_dir / "logs" / "listener.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "slicebank_service.dicom_network"],
        env={
            **os.environ,
            "SLICEBANK_DATA_DIR": str(service.data_dir),
            "SLICEBANK_LISTEN_PORT": str(listener_port),
            "SLICEBANK_QUIET_SECONDS": "1",
            "SLICEBANK_INTAKE_ENCODER": "hu_statistics",
        },
        stdout=log,
        stderr=log,
    )
    log.close()
    wait_until(lambda: process.poll() is not None or accepts(listener_port), "the listener")
    assert process.poll() is None, service.log("listener")
    yield
    process.terminate()
    process.wait(30)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[httpx.Client]:
    found = json.loads((service.data_dir / "client.json").read_text())
    headers = {"Authorization": f"Bearer {found['api_key']}"}
    with httpx.Client(base_url=found["url"], headers=headers, timeout=120, trust_env=False) as client:
        yield client


def files_of(real_ct: Path, folder: str) -> list[Path]:
    return [path for path in sorted((real_ct / "ct" / folder).rglob("*")) if is_dicom(path)]


def is_dicom(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[128:132] == b"DICM"


def study_of(real_ct: Path, folder: str) -> str:
    return str(pydicom.dcmread(files_of(real_ct, folder)[0], stop_before_pixels=True).StudyInstanceUID)


def pull(api: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = api.post("/v1/imports", json={"encoder": "hu_statistics", **asked})
    assert answer.status_code == 202, answer.text
    (made,) = answer.json()["jobs"]
    job: dict[str, Any] = api.get(f"/v1/jobs/{made['job_id']}", params={"wait": 100}).json()
    assert job["state"] == "succeeded", job
    return job


def arrived(api: httpx.Client, study_uid: str, before: int) -> dict[str, Any]:
    """The job that took in what was pushed."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        items = api.get("/v1/jobs", params={"study_uid": study_uid, "kind": "import"}).json()["items"]
        found[:] = [item for item in items if item["state"] in ("succeeded", "failed")]
        return len(found) > before

    wait_until(look, "the job of what was pushed", 60)
    assert found[0]["state"] == "succeeded", found[0]
    return found[0]


def imports_of(api: httpx.Client, study_uid: str) -> int:
    return len(api.get("/v1/jobs", params={"study_uid": study_uid, "kind": "import"}).json()["items"])


def rows_of(api: httpx.Client, job: dict[str, Any]) -> list[int]:
    """Slices of every bag that came of an import, the fewest first."""
    found = []
    for series in job["result"]["series"]:
        embedded = api.get(f"/v1/jobs/{series['job_id']}", params={"wait": 100}).json()
        assert embedded["state"] == "succeeded", embedded
        found.append(api.get(f"/v1/bags/{series['bag_id']}").json()["n_slices"])
    return sorted(found)


@pytest.mark.parametrize("source", ["web", "get"])
def test_a_head_comes_whole(api: httpx.Client, real_ct: Path, source: str) -> None:
    job = pull(api, source=source, study_uids=[study_of(real_ct, HEAD)])
    assert rows_of(api, job) == [28]
    assert (job["result"]["failed_series"], job["result"]["rejected"]) == ([], [])


def test_a_chest_comes_without_its_scout_and_segmentations(api: httpx.Client, real_ct: Path) -> None:
    study = study_of(real_ct, CHEST)
    job = pull(api, source="web", query={"StudyInstanceUID": study}, select={"min_images": 10})
    assert rows_of(api, job) == [135]
    assert {item["rule"] for item in job["result"]["left_out"]} == {"modality", "min_images"}
    again = pull(api, source="get", study_uids=[study], select={"min_images": 10})
    assert again["result"]["series"][0]["bag_id"] == job["result"]["series"][0]["bag_id"]


@pytest.mark.usefixtures("listener")
def test_a_head_is_moved_to_the_listener(api: httpx.Client, real_ct: Path) -> None:
    job = pull(api, source="move", study_uids=[study_of(real_ct, HEAD)])
    assert job["result"]["n_sent"] == 28
    arrival = api.get(f"/v1/jobs/{job['result']['arrival_job_id']}", params={"wait": 60}).json()
    assert rows_of(api, arrival) == [28]


@pytest.mark.usefixtures("listener")
def test_orthanc_pushes_by_c_store(api: httpx.Client, orthanc: Orthanc, real_ct: Path) -> None:
    study = study_of(real_ct, HEAD)
    before = imports_of(api, study)
    answer = orthanc.rest.post("/modalities/slicebank/store", json=orthanc.held(study))
    assert answer.status_code == 200, answer.text
    assert rows_of(api, arrived(api, study, before)) == [28]


def test_orthanc_pushes_by_stow(api: httpx.Client, service: Service, orthanc: Orthanc, real_ct: Path) -> None:
    study = study_of(real_ct, HEAD)
    before = imports_of(api, study)
    server = {
        "Url": f"{str(api.base_url).rstrip('/')}/dicomweb",
        "HttpHeaders": {"Authorization": api.headers["Authorization"]},
    }
    assert orthanc.rest.put("/dicom-web/servers/slicebank", json=server).status_code == 200
    answer = orthanc.rest.post(
        "/dicom-web/servers/slicebank/stow", json={"Resources": orthanc.held(study), "Synchronous": True}
    )
    assert answer.status_code == 200, answer.text
    assert rows_of(api, arrived(api, study, before)) == [28]


def test_nothing_that_the_pacs_said_is_in_the_logs(service: Service, api: httpx.Client, real_ct: Path) -> None:
    header = pydicom.dcmread(files_of(real_ct, CHEST)[0], stop_before_pixels=True)
    asked = {"source": "web", "query": {"PatientName": "Nobody^Planted*"}, "encoder": "hu_statistics"}
    assert api.post("/v1/imports", json=asked).json()["code"] == "study_not_found"
    for log in (service.data_dir / "logs").glob("*.log"):
        text = log.read_text()
        for secret in ("Planted", "a secret of the tests", str(header.get("SeriesDescription") or "Planted")):
            assert secret not in text, log.name
