"""A PACS that sends instances of a study that nobody asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from pydantic import SecretStr

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.pacs.sources import load_sources
from slicebank_store.settings import UploadSettings
from slicebank_store.types import JobKind, JobState
from slicebank_worker.jobs.imports import Importer
from slicebank_worker.jobs.outcome import run_jobs
from tests.service.support import serving
from tests.worker.conftest import Workshop

STUDY, OTHER = "1.2.3.1", "1.2.3.2"


def written(folder: Path, study_uid: str, seed: int) -> list[Path]:
    paths = list(write_dicom(make_phantom(PhantomSpec(seed=seed, n_slices=4, size=48)), folder / str(seed)).paths)
    for path in paths:
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.SeriesInstanceUID = study_uid, f"{study_uid}.{seed}"
        header.save_as(path)
    return paths


@pytest.fixture
def sent() -> list[Path]:
    """What the PACS sends, whatever it is asked for."""
    return []


@pytest.fixture
def sources(sent: list[Path]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0].endswith("/series"):
                kind = "application/dicom+json"
                body = json.dumps([{"0020000E": {"vr": "UI", "Value": [f"{STUDY}.1"]}}]).encode()
            else:
                kind = 'multipart/related; type="application/dicom"; boundary=x'
                parts = (b"--x\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() for path in sent)
                body = b"\r\n".join(parts) + b"\r\n--x--\r\n"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield json.dumps({"liar": {"kind": "dicomweb", "url": f"http://127.0.0.1:{server.server_port}"}})
        server.shutdown()
        thread.join()


def imported(workshop: Workshop, sources: str) -> JobRecord:
    with serving(workshop.world.app(pacs=SecretStr(sources))) as api:
        asked = {"encoder": "dummy", "source": "liar", "study_uids": [STUDY]}
        (made,) = api.post("/v1/imports", json=asked).json()["jobs"]
    found = load_sources(UploadSettings.model_validate({"pacs": sources}))
    run_jobs(workshop.runtime, "embed", Importer(workshop.runtime, found).run, kinds=[JobKind.IMPORT])
    return workshop.job(made["job_id"])


def test_instances_of_another_study_are_refused_and_the_others_taken(
    workshop: Workshop, sources: str, sent: list[Path], tmp_path: Path
) -> None:
    sent += written(tmp_path, STUDY, 1) + written(tmp_path, OTHER, 2)
    job = imported(workshop, sources)
    assert job.result is not None
    assert [(item["study_uid"], item["n_slices"]) for item in job.result["series"]] == [(STUDY, 4)]
    assert [item["code"] for item in job.result["rejected"]] == ["study_mismatch"] * 4
    assert OTHER not in json.dumps(job.result)


def test_a_study_of_which_only_another_comes_has_nothing_usable(
    workshop: Workshop, sources: str, sent: list[Path], tmp_path: Path
) -> None:
    sent += written(tmp_path, OTHER, 2)
    job = imported(workshop, sources)
    assert (job.state, job.error_code) == (JobState.FAILED, "nothing_usable")
    assert workshop.world.catalogue.series.list("default").items == []
