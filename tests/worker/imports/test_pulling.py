"""Studies pulled from a real Orthanc, by every way that it can be asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import SecretStr
from pynetdicom import AE, evt

from slicebank_imaging.classification import CT_CLASSES
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_imaging.syntaxes import SYNTAXES
from slicebank_models.registry import EncoderRegistry
from slicebank_service.intake.take_in import intake_request
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.pacs.sources import load_sources
from slicebank_store.settings import UploadSettings
from slicebank_store.types import JobKind, JobState
from slicebank_worker.jobs.imports import Importer
from slicebank_worker.jobs.outcome import run_jobs
from tests.orthanc import Orthanc, free_port, orthanc_running
from tests.service.support import Api, serving
from tests.worker.conftest import Workshop

KERNELS = {1: ("B30f", "Abdomen 5.0", "5.0", 6), 2: ("B70s", "Lung 1.0 PLANTED^NAME", "1.0", 9)}
STUDY = "1.2.826.0.1.3680043.8.498.77"
SERIES = {seed: f"{STUDY}.{seed}" for seed in KERNELS}


@pytest.fixture(scope="module")
def listener_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, listener_port: int) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc_running(folder / "server", listener_port=listener_port) as running:
        for seed, (kernel, description, thickness, n_slices) in KERNELS.items():
            spec = PhantomSpec(seed=seed, n_slices=n_slices, size=48)
            for path in write_dicom(make_phantom(spec), folder / str(seed)).paths:
                header = pydicom.dcmread(path)
                header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES[seed]
                header.SeriesDescription, header.ConvolutionKernel = description, kernel
                header.SliceThickness = thickness
                header.PatientName, header.PatientID = "Planted^Name", "PLANTED-1"
                header.save_as(path)
                running.load([path])
        yield running


@pytest.fixture
def sources(orthanc: Orthanc) -> dict[str, Any]:
    return {
        "web": orthanc.dicomweb,
        "get": orthanc.dimse(),
        "move": orthanc.dimse(retrieve="c-move", move_destination="SLICEBANK"),
        "lost": orthanc.dimse(retrieve="c-move", move_destination="NOBODY"),
        "locked": {**orthanc.dicomweb, "password": "wrong"},
        "away": {"kind": "dicomweb", "url": "http://127.0.0.1:9/dicom-web"},
        "silent": {"kind": "dimse", "host": "127.0.0.1", "port": 9, "called_aet": "X"},
        "stranger": {**orthanc.dimse(), "called_aet": "NOT_ORTHANC"},
    }


@pytest.fixture
def api(workshop: Workshop, sources: dict[str, Any]) -> Iterator[Api]:
    with serving(workshop.world.app(pacs=SecretStr(json.dumps(sources)))) as running:
        yield running


def ask(api: Api, **asked: Any) -> list[dict[str, str]]:
    answer = api.post("/v1/imports", json={"encoder": "dummy", **asked})
    assert answer.status_code == 202, answer.text
    jobs: list[dict[str, str]] = answer.json()["jobs"]
    assert answer.json()["n_studies"] == len(jobs)
    return jobs


def run(workshop: Workshop, sources: dict[str, Any], job_id: str) -> JobRecord:
    settings = UploadSettings.model_validate({"pacs": json.dumps(sources)})
    run_jobs(workshop.runtime, "embed", Importer(workshop.runtime, load_sources(settings)).run, kinds=[JobKind.IMPORT])
    return workshop.job(job_id)


def series_of(job: JobRecord) -> dict[str, int]:
    assert job.result is not None, job
    return {item["series_uid"]: item["n_slices"] for item in job.result["series"]}


@pytest.mark.parametrize("source", ["web", "get"])
def test_a_study_is_pulled_and_embedded(workshop: Workshop, api: Api, sources: dict[str, Any], source: str) -> None:
    (asked,) = ask(api, source=source, study_uids=[STUDY])
    assert asked["study_uid"] == STUDY
    job = run(workshop, sources, asked["job_id"])
    assert (job.state, series_of(job)) == (JobState.SUCCEEDED, {SERIES[1]: 6, SERIES[2]: 9})
    assert job.result is not None
    for series in job.result["series"]:
        assert workshop.run(series["job_id"]).state is JobState.SUCCEEDED
        assert api.get(f"/v1/bags/{series['bag_id']}").status_code == 200
    assert workshop.world.staged() == {}
    text = json.dumps(job.result) + json.dumps(job.params)
    assert "PLANTED" not in text
    assert "B70s" not in text
    # The other way brings the same slices.
    other = "get" if source == "web" else "web"
    (again,) = ask(api, source=other, study_uids=[STUDY])
    result = run(workshop, sources, again["job_id"]).result
    assert result is not None
    assert {item["revision"] for item in result["series"]} == {1}


@pytest.mark.parametrize("source", ["web", "get"])
@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({"kernel": ["b7*"]}, [2]),
        ({"kernel": ["!b7*"]}, [1]),
        ({"max_thickness_mm": 2}, [2]),
        ({"min_thickness_mm": 2}, [1]),
        ({"description": ["*abdomen*"]}, [1]),
        ({"description": ["*", "!lung*"]}, [1]),
        ({"min_images": 7}, [2]),
        ({"largest_only": True}, [2]),
        ({"largest_only": True, "kernel": ["B30f", "B31f"]}, [1]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_rules_choose_series(
    workshop: Workshop, api: Api, sources: dict[str, Any], source: str, rules: dict[str, Any], wanted: list[int]
) -> None:
    (asked,) = ask(api, source=source, query={"PatientID": "PLANTED-1"}, select=rules)
    job = run(workshop, sources, asked["job_id"])
    assert sorted(series_of(job)) == [SERIES[seed] for seed in wanted]
    assert job.result is not None
    assert [item["series_uid"] for item in job.result["left_out"]] == [
        SERIES[seed] for seed in KERNELS if seed not in wanted
    ]


@pytest.mark.parametrize(
    ("source", "asked", "code"),
    [
        ("web", {"study_uids": ["1.2.3"]}, "study_not_found"),
        ("get", {"study_uids": ["1.2.3"]}, "study_not_found"),
        ("web", {"study_uids": [STUDY], "select": {"modality": ["MR"]}}, "nothing_selected"),
        ("locked", {"study_uids": [STUDY]}, "pacs_refused"),
        ("stranger", {"study_uids": [STUDY]}, "pacs_refused"),
    ],
)
def test_what_cannot_be_had_fails_with_its_code(
    workshop: Workshop, api: Api, sources: dict[str, Any], source: str, asked: dict[str, Any], code: str
) -> None:
    (made,) = ask(api, source=source, **asked)
    job = run(workshop, sources, made["job_id"])
    # A PACS that rejects and hangs up may be read too late: then it is asked again.
    deadline = time.monotonic() + 60
    while job.state is JobState.QUEUED and time.monotonic() < deadline:
        time.sleep(0.2)
        job = run(workshop, sources, made["job_id"])
    assert (job.state, job.error_code) == (JobState.FAILED, code)


# pynetdicom leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("source", ["away", "silent"])
def test_a_pacs_that_is_away_is_asked_again_later(
    workshop: Workshop, api: Api, sources: dict[str, Any], source: str
) -> None:
    (made,) = ask(api, source=source, study_uids=[STUDY])
    job = run(workshop, sources, made["job_id"])
    assert (job.state, job.error_code) == (JobState.QUEUED, "pacs_unavailable")
    answer = api.post("/v1/imports", json={"source": source, "query": {"PatientID": "PLANTED-1"}})
    assert (answer.status_code, answer.json()["code"]) == (503, "pacs_unavailable")


def test_a_study_beyond_the_limits_is_not_taken(workshop: Workshop, api: Api, sources: dict[str, Any]) -> None:
    settings = workshop.runtime.settings.model_copy(update={"max_upload_files": 7})
    (made,) = ask(api, source="web", study_uids=[STUDY])
    runtime = replace(workshop.runtime, settings=settings)
    found = load_sources(UploadSettings.model_validate({"pacs": json.dumps(sources)}))
    run_jobs(runtime, "embed", Importer(runtime, found).run, kinds=[JobKind.IMPORT])
    job = workshop.job(made["job_id"])
    assert (job.state, job.error_code) == (JobState.FAILED, "study_too_large")


@contextmanager
def listening(workshop: Workshop, port: int) -> Iterator[None]:
    """What a PACS may move to: stores what comes as arrivals, as the listener does."""
    world = workshop.world
    arrivals = Arrivals(world.catalogue, world.staging, "default", quiet_s=60)
    request = intake_request(EncoderRegistry().get("hu_statistics"))

    def store(event: evt.Event) -> int:
        path = world.settings.data_dir / f"{event.request.AffectedSOPInstanceUID}"
        path.write_bytes(event.encoded_dataset())
        arrivals.add(STUDY, [path], request)
        return 0x0000

    entity = AE(ae_title="SLICEBANK")
    for sop_class in CT_CLASSES:
        entity.add_supported_context(sop_class, list(SYNTAXES))
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield
    finally:
        server.shutdown()


def test_a_study_is_moved_to_the_listener_and_taken_in_as_the_import_asks(
    workshop: Workshop, api: Api, sources: dict[str, Any], listener_port: int
) -> None:
    with listening(workshop, listener_port):
        (asked,) = ask(api, source="move", study_uids=[STUDY], select={"description": ["abdomen*"]})
        job = run(workshop, sources, asked["job_id"])
    assert (job.state, job.error_code) == (JobState.SUCCEEDED, None), job.error_detail
    assert job.result is not None
    assert job.result["n_sent"] == 6
    arrival = workshop.job(job.result["arrival_job_id"])
    assert (arrival.state, series_of(arrival)) == (JobState.SUCCEEDED, {SERIES[1]: 6})
    assert arrival.params["request"]["recipe"]["encoder"] == "dummy"


def test_a_move_to_nobody_says_so(workshop: Workshop, api: Api, sources: dict[str, Any]) -> None:
    for source in ("move", "lost"):
        (asked,) = ask(api, source=source, study_uids=[STUDY])
        assert run(workshop, sources, asked["job_id"]).error_code == "pacs_refused", source


def test_names_of_queries_are_written_down_nowhere(
    workshop: Workshop, api: Api, sources: dict[str, Any], tmp_path: Path
) -> None:
    (made,) = ask(api, source="web", query={"PatientName": "Planted*"})
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Planted" not in held
    assert run(workshop, sources, made["job_id"]).state is JobState.SUCCEEDED
