"""dicomweb-client against a running service: what it stores is embedded, and what it searches for is found."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pydicom
import pytest
import requests
from dicomweb_client.web import DICOMwebClient

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.system.conftest import Service, start_service, stop_service, wait_until

pytestmark = pytest.mark.system

CHUNK_BYTES = 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(
        tmp_path_factory.mktemp("dicomweb") / "data",
        SLICEBANK_QUIET_SECONDS="1",
        SLICEBANK_INTAKE_ENCODER="hu_statistics",
        SLICEBANK_MAX_UPLOAD_BYTES="50000000",
    )
    yield running
    stop_service(running)


class Address(NamedTuple):
    url: str
    api_key: str


@pytest.fixture(scope="module")
def address(service: Service) -> Address:
    found = json.loads((service.data_dir / "client.json").read_text())
    return Address(found["url"], found["api_key"])


@pytest.fixture(scope="module")
def session(address: Address) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {address.api_key}"
        yield session


@pytest.fixture(scope="module")
def client(address: Address, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(f"{address.url}/dicomweb", session=session, chunk_size=CHUNK_BYTES)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    """A small series, which is sent with a Content-Length."""
    written = write_dicom(make_phantom(PhantomSpec(seed=5, n_slices=6, size=64)), tmp_path_factory.mktemp("phantom"))
    return [pydicom.dcmread(path) for path in written.paths]


def embedded(address: Address, session: requests.Session, study_uid: str) -> list[dict[str, object]]:
    """The embed jobs of a study, once they have ended."""
    jobs: list[dict[str, object]] = []

    def ended() -> bool:
        answer = session.get(f"{address.url}/v1/jobs", params={"study_uid": study_uid}).json()
        jobs[:] = [job for job in answer["items"] if job["kind"] == "embed"]
        return bool(jobs) and all(job["state"] not in ("queued", "running") for job in answer["items"])

    wait_until(ended, f"the jobs of study {study_uid}")
    return jobs


def test_a_small_study_from_store_to_search(
    service: Service,
    address: Address,
    session: requests.Session,
    client: DICOMwebClient,
    phantom: list[pydicom.Dataset],
) -> None:
    study, series = phantom[0].StudyInstanceUID, phantom[0].SeriesInstanceUID
    for _ in range(2):  # an instance that is sent again is a success
        answer = client.store_instances(phantom, study_instance_uid=study)
        assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
            dataset.SOPInstanceUID for dataset in phantom
        ]
        assert "FailedSOPSequence" not in answer
    (job,) = embedded(address, session, study)
    assert job["state"] == "succeeded"
    bag = service.client.bags.get(str(job["bag_id"]))
    assert (bag.n_slices, bag.encoder) == (6, "hu_statistics")

    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    parsed = pydicom.Dataset.from_json(found)
    assert (parsed.NumberOfStudyRelatedSeries, parsed.NumberOfStudyRelatedInstances) == (1, 6)
    (found,) = client.search_for_series(study, search_filters={"PatientID": phantom[0].PatientID})
    assert pydicom.Dataset.from_json(found).SeriesInstanceUID == series
    instances = client.search_for_instances(study, series, limit=4, get_remaining=True)
    assert {pydicom.Dataset.from_json(one).SOPInstanceUID for one in instances} == {
        dataset.SOPInstanceUID for dataset in phantom
    }
    assert client.search_for_studies(search_filters={"ModalitiesInStudy": "MR"}) == []
    assert client.search_for_instances(study, fields=["Rows"], fuzzymatching=True, offset=6) == []


@pytest.mark.realct
def test_a_real_study_in_chunks_with_all_that_lies_beside_the_ct(
    service: Service, address: Address, session: requests.Session, client: DICOMwebClient, real_ct: Path
) -> None:
    paths = sorted(path for path in (real_ct / "ct" / "ge_chest_with_scout_and_seg").rglob("*") if path.is_file())
    datasets = [dataset for path in paths if (dataset := read(path)) is not None]
    answer = client.store_instances(datasets, additional_params={"priority": "bulk"})
    assert len(answer.ReferencedSOPSequence) == 135
    refused = {(item.FailureReason, item.ErrorComment) for item in answer.FailedSOPSequence}
    assert refused == {(0xC000, "localizer"), (290, "not_an_image")}
    (study,) = {dataset.StudyInstanceUID for dataset in datasets if dataset.Modality == "CT"}
    (job,) = embedded(address, session, study)
    assert job["state"] == "succeeded"
    assert service.client.bags.get(str(job["bag_id"])).n_slices == 135


def read(path: Path) -> pydicom.Dataset | None:
    try:
        return pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError:
        return None


def test_nothing_usable_is_an_error_that_the_client_sees(
    client: DICOMwebClient, phantom: list[pydicom.Dataset]
) -> None:
    with pytest.raises(requests.HTTPError) as error:
        client.store_instances(phantom, study_instance_uid="1.2.3.4")
    response = error.value.response
    assert response is not None
    assert response.status_code == HTTPStatus.CONFLICT
    answer = pydicom.Dataset.from_json(response.text)
    assert {item.FailureReason for item in answer.FailedSOPSequence} == {0xA900}


def test_too_much_is_told_in_the_middle_of_the_chunks_and_not_tried_again(
    service: Service, client: DICOMwebClient, phantom: list[pydicom.Dataset]
) -> None:
    with pytest.raises(requests.HTTPError) as error:
        client.store_instances(phantom * 1200)
    assert error.value.response is not None
    assert error.value.response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    wait_until(lambda: not staged(service), "staging to be empty", 20)


def test_a_repeated_request_without_its_chunks_is_a_bad_one(address: Address, session: requests.Session) -> None:
    spent: Iterator[bytes] = iter(())
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="x"'}
    response = session.post(f"{address.url}/dicomweb/studies", data=spent, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "empty_body")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_client_that_dies_leaves_nothing(
    service: Service, address: Address, phantom: list[pydicom.Dataset], share: float
) -> None:
    body = b""
    for dataset in phantom:
        written = BytesIO()
        dataset.save_as(written)
        body += b"\r\n--x\r\nContent-Type: application/dicom\r\n\r\n" + written.getvalue()
    where = urlsplit(address.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    connection.putrequest("POST", "/dicomweb/studies")
    connection.putheader("Authorization", f"Bearer {address.api_key}")
    connection.putheader("Content-Type", 'multipart/related; type="application/dicom"; boundary="x"')
    connection.putheader("Content-Length", str(len(body) + 5))
    connection.endheaders()
    connection.send(body[: int(len(body) * share)])
    wait_until(lambda: bool(staged(service)), "the request to begin")
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    wait_until(lambda: not staged(service), "staging to be empty", 20)


def staged(service: Service) -> set[str]:
    """What lies in staging and is no study that waits for its job."""
    time.sleep(0.01)
    return {
        path.name
        for path in (service.data_dir / "staging").iterdir()
        if not (path / "arriving").exists() and not (path / "arrived").exists()
    }
