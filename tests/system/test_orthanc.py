"""A whole service beside a real Orthanc that holds real CT: every series comes out of it as it went in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from tests.orthanc import Orthanc, orthanc_running
from tests.system.conftest import Service, start_service, stop_service

pytestmark = [pytest.mark.system, pytest.mark.realct]

HEAD, CHEST = "ge_head_tilt_variable_spacing", "ge_chest_with_scout_and_seg"


@pytest.fixture(scope="module")
def orthanc(real_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_running(tmp_path_factory.mktemp("orthanc")) as running:
        for folder in (HEAD, CHEST):
            running.load(path for path in files_of(real_ct, folder))
        yield running


@pytest.fixture(scope="module")
def service(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pacs = {"web": orthanc.dicomweb, "get": orthanc.dimse()}
    running = start_service(tmp_path_factory.mktemp("service") / "data", SLICEBANK_PACS=json.dumps(pacs))
    yield running
    stop_service(running)


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


def test_nothing_that_the_pacs_said_is_in_the_logs(service: Service, api: httpx.Client, real_ct: Path) -> None:
    header = pydicom.dcmread(files_of(real_ct, CHEST)[0], stop_before_pixels=True)
    asked = {"source": "web", "query": {"PatientName": "Nobody^Planted*"}, "encoder": "hu_statistics"}
    assert api.post("/v1/imports", json=asked).json()["code"] == "study_not_found"
    for log in (service.data_dir / "logs").glob("*.log"):
        text = log.read_text()
        for secret in ("Planted", "a secret of the tests", str(header.get("SeriesDescription") or "Planted")):
            assert secret not in text, log.name
