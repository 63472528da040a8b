"""Whatever names a patient goes in by every route, accepted and refused, and is found nowhere afterwards."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from tusclient.client import TusClient

from tests.cluster.processes import free_ports
from tests.orthanc import Orthanc, orthanc_running
from tests.system.conftest import Service, start_service, stop_service, wait_until
from tests.system.planted import (
    FILE_WORDS,
    ROOT,
    WORDS,
    accepted,
    encode,
    found_below,
    found_in,
    nifti,
    planted,
    refused,
    said,
)

pytestmark = pytest.mark.system

TAGS = [*WORDS.values(), ROOT]
EVERYTHING = [*TAGS, *FILE_WORDS.values()]
QUERY = {"encoder": "dummy"}


class Spied:
    """An HTTP client that remembers what it was told."""

    def __init__(self, url: str, key: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self.http.event_hooks = {"response": [self._note]}

    def _note(self, response: httpx.Response) -> None:
        response.read()
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items()).encode()
        what = f"{response.request.method} {response.request.url.path}"
        self.heard += [(what, headers), (what, response.content)]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_running(tmp_path_factory.mktemp("orthanc")) as running:
        running.load(accepted(80).values())
        yield running


@pytest.fixture(scope="module")
def private_service(tmp_path_factory: pytest.TempPathFactory, orthanc: Orthanc) -> Iterator[Service]:
    listen_port, metrics_port = free_ports(2)
    running = start_service(
        tmp_path_factory.mktemp("private") / "data",
        SLICEBANK_UID_POLICY="hash",
        SLICEBANK_LOG_LEVEL="debug",
        SLICEBANK_QUIET_SECONDS="0.5",
        SLICEBANK_LISTEN_PORT=str(listen_port),
        SLICEBANK_METRICS_PORT=str(metrics_port),
        SLICEBANK_INTAKE_ENCODER="dummy",
        SLICEBANK_SWEEP_SECONDS="0.5",
        SLICEBANK_PACS=json.dumps({"web": orthanc.dicomweb, "net": orthanc.dimse()}),
    )
    running.ports = {"listen": listen_port, "metrics": metrics_port}  # type: ignore[attr-defined]
    yield running
    stop_service(running)


@pytest.fixture(scope="module")
def api(private_service: Service) -> Iterator[Spied]:
    found = json.loads((private_service.data_dir / "client.json").read_text())
    spied = Spied(found["url"], found["api_key"])
    yield spied
    spied.http.close()


def post_multipart(api: Spied, files: dict[str, bytes]) -> Any:
    parts = [("files", (name, content)) for name, content in files.items()]
    return api.http.post("/v1/series", params=QUERY, files=parts).json()


def test_by_multipart(api: Spied) -> None:
    answer = post_multipart(api, accepted(1) | refused(2))
    assert [item["n_slices"] for item in answer["series"]] == [3]
    assert len(answer["rejected"]) == len(refused(2))


def test_refused_as_a_whole(api: Spied) -> None:
    assert post_multipart(api, refused(3))["code"] == "nothing_usable"


def test_by_archives_within_archives(api: Spied) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for name, content in (accepted(4) | refused(5)).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.comment = WORDS["comment"].encode()
        archive.writestr(f"{FILE_WORDS['archive']}.tar.gz", inner.getvalue())
        archive.writestr(f"../{FILE_WORDS['file']}", b"x")
    headers = {"Content-Type": "application/zip"}
    answer = api.http.post("/v1/series", params=QUERY, content=outer.getvalue(), headers=headers).json()
    assert len(answer["series"]) == 1
    assert len(answer["rejected"]) == len(refused(5)) + 1


def test_with_names_in_the_query(api: Spied) -> None:
    query = {**QUERY, "patient": WORDS["patient_id"], "study_uid": f"{ROOT}.6"}
    headers = {"Content-Type": "application/nifti"}
    answer = api.http.post("/v1/series", params=query, content=nifti(), headers=headers).json()
    assert answer["series"][0]["n_slices"] == 4


def test_by_a_resumable_upload(api: Spied, private_service: Service, tmp_path: Path) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in (accepted(7) | refused(8)).items():
            archive.writestr(name, content)
    path = tmp_path / "body.zip"
    path.write_bytes(body.getvalue())
    client = TusClient(f"{api.http.base_url}/v1/uploads?encoder=dummy", headers=dict(api.http.headers))
    metadata = {"filename": f"{FILE_WORDS['archive']} {WORDS['name']}.zip", "filetype": "application/zip"}
    with path.open("rb") as stream:
        uploader = client.uploader(file_stream=stream, chunk_size=2000, metadata=metadata)
        uploader.upload_chunk()
        assert not found_below(private_service.data_dir / "staging", [FILE_WORDS["archive"]]), "while it is open"
        uploader.upload()
    answer = api.http.get(httpx.URL(uploader.url).path)
    assert answer.json()["series"][0]["n_slices"] == 3


def test_by_the_command_line(private_service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    for name, content in (accepted(9) | refused(10)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "XDG_DATA_HOME": str(home)}
    command = [sys.executable, "-m", "slicebank", "--data-dir", str(private_service.data_dir), "upload", str(folder)]
    done = subprocess.run([*command, "--encoder", "dummy", "--resumable"], env=environment, capture_output=True)
    assert b"3" in done.stdout, done.stderr.decode()
    assert not found_in(done.stdout + done.stderr, TAGS[1:])  # a folder is called like the patient
    assert not found_below(home, EVERYTHING)


def test_by_stow(api: Spied) -> None:
    body = b"".join(
        b"\r\n--qz\r\nContent-Type: application/dicom\r\n\r\n" + content
        for content in [*accepted(11).values(), *refused(11).values()]
    )
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="qz"'}
    answer = api.http.post("/dicomweb/studies", content=body + b"\r\n--qz--", headers=headers)
    assert answer.status_code == 202
    # The sender's own UIDs are echoed to it; nothing else is.
    assert not found_in(answer.content, WORDS.values())
    del api.heard[-2:]
    api.http.get("/dicomweb/studies", params={"includefield": "all"})
    api.http.get("/dicomweb/instances", params={"PatientID": WORDS["patient_id"], "StudyInstanceUID": f"{ROOT}.11"})


def test_by_the_dicom_network(private_service: Service) -> None:
    entity = AE(ae_title="SCANNER")
    entity.add_requested_context(CTImageStorage)
    association = entity.associate("127.0.0.1", private_service.ports["listen"], ae_title="SLICEBANK")  # type: ignore[attr-defined]
    assert association.is_established
    for number in range(3):
        data = pydicom.dcmread(io.BytesIO(encode(planted(number, 12))))
        assert association.send_c_store(data).Status == 0
    for change in ({"Modality": "MR"}, {"RescaleType": WORDS["kernel"]}, {"PatientComments": WORDS["comment"]}):
        association.send_c_store(pydicom.dcmread(io.BytesIO(encode(planted(9, 12, **change)))))
    association.release()


@pytest.mark.parametrize("source", ["web", "net"])
def test_from_a_pacs(api: Spied, source: str) -> None:
    asked = {"source": source, "query": {"PatientID": WORDS["patient_id"]}, "encoder": "dummy"}
    answer = api.http.post("/v1/imports", json={**asked, "select": {"description": [WORDS["series"]]}})
    assert answer.status_code == 202, answer.text
    job = api.http.get(f"/v1/jobs/{answer.json()['jobs'][0]['job_id']}", params={"wait": 60}).json()
    assert job["state"] == "succeeded", job
    missing = api.http.post("/v1/imports", json={"source": source, "query": {"PatientName": WORDS["name"] + "X"}})
    assert missing.status_code == 404


def test_and_nothing_is_found_anywhere(api: Spied, private_service: Service) -> None:
    """Runs last: it looks at what all the others left."""

    def idle() -> bool:
        jobs = api.http.get("/v1/jobs", params={"limit": 1000}).json()["items"]
        return all(job["state"] in ("succeeded", "failed", "cancelled") for job in jobs)

    wait_until(idle, "the jobs to end")
    series = api.http.get("/v1/series").json()["items"]
    assert len(series) >= 8
    for item in series:
        api.http.get(f"/v1/series/{item['series_uid']}")
        for bag in api.http.get("/v1/bags", params={"series_uid": item["series_uid"]}).json()["items"]:
            for layout in ("h5", "npz"):
                api.http.get(f"/v1/bags/{bag['bag_id']}/file", params={"format": layout})
    original = api.http.get("/v1/series", params={"study_uid": f"{ROOT}.1"}).json()["items"]
    assert len(original) == 1, "the sender's own UID is understood"
    api.http.get(f"/v1/series/{ROOT}.99.1")
    metrics = api.http.get("/metrics").content
    assert b"slicebank" in metrics
    heard = [(what, hits, said(body)) for what, body in api.heard if (hits := found_in(said(body), EVERYTHING))]
    assert heard == []
    staging = private_service.data_dir / "staging"
    # The answers of resumable uploads stay until they expire, for clients that did not get them.
    kept = {"tus.json", "lock"}
    wait_until(
        lambda: all(path.name in kept for folder in staging.glob("[0-9a-f]*") for path in folder.rglob("*")),
        "files to go",
    )
    assert found_below(private_service.data_dir, EVERYTHING) == {}
    serve_log = private_service.data_dir.parent / f"{private_service.data_dir.name}-serve.log"
    assert found_in(serve_log.read_bytes(), EVERYTHING) == []
