"""Objects sent to a real Orthanc, which knows whose the study is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import SecretStr
from pydicom.filebase import DicomBytesIO

from tests.orthanc import Orthanc, free_port, orthanc_running
from tests.service.result_objects.conftest import Answered, answer, as_bytes, with_patient
from tests.service.support import FakeWorker, MakeFiles, World, assert_problem, serving


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def answered_here(orthanc: Orthanc, world: World, worker: FakeWorker, make_files: MakeFiles) -> Iterator[Answered]:
    """A prediction in an application that knows the Orthanc, and some PACS that are of no help."""
    pacs = {
        "archive": orthanc.dicomweb,
        "keyless": {**orthanc.dicomweb, "password": "wrong"},
        "away": {"kind": "dicomweb", "url": f"http://127.0.0.1:{free_port()}/dicom-web"},
        "modality": orthanc.dimse(),
    }
    with serving(world.app(pacs=SecretStr(json.dumps(pacs)))) as api:
        yield answer(api, world, worker, make_files(0, n_slices=4, patient_id="4711"))


def push(answered: Answered, pacs: str, **more: Any) -> Any:
    return answered.api.post(f"{answered.path}/push", json={"pacs": pacs, **more})


def test_objects_lie_in_the_study_they_are_about(answered_here: Answered, orthanc: Orthanc) -> None:
    assert_problem(push(answered_here, "archive"), 404, "study_not_found")
    orthanc.load(as_bytes(with_patient(file)) for file in answered_here.files)
    response = push(answered_here, "archive", top=2)
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["pacs"], told["study_uid"]) == ("archive", answered_here.bag.study_uid)
    assert [item["kind"] for item in told["objects"]] == ["sr", "sc"]
    (study,) = orthanc.held(answered_here.bag.study_uid)
    modalities = {
        series["MainDicomTags"]["Modality"]: series for series in orthanc.rest.get(f"/studies/{study}/series").json()
    }
    assert set(modalities) == {"CT", "SR", "OT"}
    (instance,) = modalities["SR"]["Instances"]
    document = pydicom.dcmread(DicomBytesIO(orthanc.rest.get(f"/instances/{instance}/file").content))
    assert document.SOPInstanceUID == told["objects"][0]["sop_instance_uid"]
    # As the PACS has it, and this service has not.
    assert str(document.PatientName) == "Müller^Käthe"
    assert (document.PatientID, document.PatientBirthDate, document.PatientSex) == ("4711", "19510203", "F")
    assert (document.AccessionNumber, document.StudyID, document.StudyDate) == ("A123", "S9", "20260102")
    held = {pydicom.dcmread(DicomBytesIO(file), stop_before_pixels=True).SOPInstanceUID for file in answered_here.files}
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in evidence.ReferencedSOPSequence} == held
    again = push(answered_here, "archive", top=2).json()
    assert again == told
    assert len(orthanc.rest.get(f"/studies/{study}/series").json()) == 3
    assert len(push(answered_here, "archive", objects=["sr"]).json()["objects"]) == 1
    for path in Path(answered_here.world.settings.data_dir).rglob("*"):
        assert not path.is_file() or b"K\xc3\xa4the" not in path.read_bytes(), path


def test_pacs_that_take_nothing(answered_here: Answered) -> None:
    assert_problem(push(answered_here, "nowhere"), 404, "unknown_source")
    assert_problem(push(answered_here, "modality"), 409, "pacs_takes_nothing")
    assert_problem(push(answered_here, "keyless"), 502, "pacs_refused")
    assert_problem(push(answered_here, "away"), 503, "pacs_unavailable")
    assert_problem(push(answered_here, "http://127.0.0.1"), 422, "invalid_request")
    assert_problem(push(answered_here, "archive", objects=[]), 422, "invalid_request")
