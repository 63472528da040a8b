from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import SecondaryCaptureImageStorage
from starlette.requests import ClientDisconnect

from slicebank_store.errors import CatalogueUnavailable
from slicebank_store.intake.arrivals import import_request
from slicebank_store.pseudonyms import UidPolicy
from slicebank_store.types import JobKind, JobState, Priority
from tests.service.support import KEY, Api, MakeFiles, World, assert_problem, serving
from tests.service.upload_forms import changed

from .requests import BOUNDARY, RELATED, failures, in_pieces, related, stow, uids

MISMATCH, UNREADABLE, NOT_SUPPORTED = 0xA900, 0xC000, 290


def study_of(content: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(content)).StudyInstanceUID)


def sop_uids(files: dict[str, bytes]) -> list[str]:
    return [str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID) for content in files.values()]


def in_another_study(content: bytes, study_uid: str) -> bytes:
    return changed(content, lambda data: setattr(data, "StudyInstanceUID", study_uid))


def as_capture(data: pydicom.Dataset) -> None:
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.ConversionType = "SD"


def without_rescale(data: pydicom.Dataset) -> None:
    del data.RescaleSlope, data.RescaleIntercept


def waiting(world: World) -> dict[str, list[bytes]]:
    """What waits for each study's job, by StudyInstanceUID."""
    jobs = world.catalogue.jobs.list("default", kind=JobKind.IMPORT).items
    return {
        job.study_uid or "": [path.read_bytes() for path in sorted((world.staging_dir / str(job.staging)).rglob("*-*"))]
        for job in jobs
    }


def test_a_study_is_stored_and_its_job_named(api: Api, world: World, make_files: MakeFiles) -> None:
    files = make_files()
    study = study_of(next(iter(files.values())))
    response = stow(api, files.values(), params={"encoder": "hu_statistics", "priority": "bulk", "retain": "true"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/dicom+json"
    answer = response.json()
    assert uids(answer, "00081199") == sop_uids(files)
    assert answer["00081190"] == {"vr": "UR"}, "nothing can be retrieved"
    assert "00081198" not in answer
    (job_id,) = response.headers["slicebank-job"].split(", ")
    assert response.headers["link"] == f'</v1/jobs?study_uid={study}>; rel="monitor"'
    assert [job["job_id"] for job in api.get("/v1/jobs", params={"study_uid": study}).json()["items"]] == [job_id]
    job = world.catalogue.jobs.get("default", job_id)
    assert job is not None
    assert (job.kind, job.state, job.priority) == (JobKind.IMPORT, JobState.QUEUED, Priority.BULK)
    request = import_request(job.params)
    assert request.recipe is not None
    assert (request.recipe.encoder, request.retain) == ("hu_statistics", True)
    assert waiting(world) == {study: list(files.values())}
    assert list(world.staged()) == [job.staging]


def test_the_settings_say_what_a_sender_cannot(world: World, make_files: MakeFiles) -> None:
    with serving(world.app(intake_encoder="dummy", intake_retain=True)) as api:
        response = stow(api, make_files().values())
    job = world.catalogue.jobs.get("default", response.headers["slicebank-job"])
    assert job is not None
    request = import_request(job.params)
    assert request.recipe is not None
    assert (request.recipe.encoder, request.retain) == ("dummy", True)


def test_requests_of_one_study_meet_in_one_job(api: Api, world: World, make_files: MakeFiles) -> None:
    files = list(make_files().values())
    responses = [stow(api, [content]) for content in [*files, files[0]]]
    assert {response.status_code for response in responses} == {200}, "an instance sent twice is a success"
    assert len({response.headers["slicebank-job"] for response in responses}) == 1
    assert waiting(world) == {study_of(files[0]): [*files, files[0]]}


def test_several_studies_in_one_request(api: Api, world: World, make_files: MakeFiles) -> None:
    first, second = (list(make_files(seed, n_slices=2).values()) for seed in (1, 2))
    response = stow(api, [first[0], second[0], first[1], second[1]])
    assert response.status_code == 200
    assert len(response.headers["slicebank-job"].split(", ")) == 2
    assert waiting(world) == {study_of(first[0]): first, study_of(second[0]): second}


@pytest.mark.parametrize(
    "form",
    ["chunked", "bare", "unquoted", "lengths", "no part types", "transfer syntaxes", "leading line", "no type"],
)
def test_forms_of_a_request(api: Api, world: World, make_files: MakeFiles, form: str) -> None:
    files = list(make_files(n_slices=1).values())
    body, headers = related(files), {"Content-Type": RELATED}
    part = b"Content-Type: application/dicom\r\n"
    options: dict[str, Any] = {}
    if form == "chunked":
        options["content"] = in_pieces(body)
    elif form == "bare":
        body, headers = files[0], {"Content-Type": "application/dicom"}
    elif form == "unquoted":
        headers = {"Content-Type": f"Multipart/Related;boundary={BOUNDARY};type=application/dicom"}
    elif form == "lengths":
        body = body.replace(part, part + f"Content-Length: {len(files[0])}\r\n".encode())
    elif form == "no part types":
        body = body.replace(part, b"Content-Location: a\r\n")
    elif form == "transfer syntaxes":
        body = body.replace(part, b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n")
    elif form == "leading line":
        body = body.removeprefix(b"\r\n") + b"\r\n"
    elif form == "no type":
        headers = {"Content-Type": f'multipart/related; boundary="{BOUNDARY}"'}
    response = stow(api, (), headers=headers, **{"content": body, **options})
    assert response.status_code == 200, response.text
    assert waiting(world) == {study_of(files[0]): files}


def test_what_is_no_ct_is_refused_by_name_and_the_rest_is_stored(api: Api, world: World, make_files: MakeFiles) -> None:
    good = list(make_files().values())
    scout = changed(good[0], lambda data: setattr(data, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    capture = changed(good[0], as_capture)
    no_scale = changed(good[0], without_rescale)
    response = stow(api, [scout, *good, capture, no_scale, b"Dear colleague, " * 100, good[1][:3000]])
    assert response.status_code == 202
    answer = response.json()
    assert uids(answer, "00081199") == sop_uids(dict(enumerate(good)))  # type: ignore[arg-type]
    own = sop_uids({"": good[0]})[0]
    assert uids(answer, "00081198") == [own, own, own, sop_uids({"": good[1]})[0]]
    assert list(failures(answer)) == [
        (UNREADABLE, "localizer", "00080008"),
        (NOT_SUPPORTED, "not_an_image", "00080064"),
        (MISMATCH, "missing_rescale", "00281053"),
        (UNREADABLE, "truncated_file", "7FE00010"),
    ]
    assert list(failures(answer, "0008119A")) == [(UNREADABLE, "not_dicom", None)]
    assert waiting(world) == {study_of(good[0]): good}
    assert len(world.staged()) == 1, "refused files are gone"


def test_nothing_usable(api: Api, world: World) -> None:
    response = stow(api, [b"Dear colleague, " * 100])
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/dicom+json"
    assert list(failures(response.json(), "0008119A")) == [(UNREADABLE, "not_dicom", None)]
    assert "slicebank-job" not in response.headers
    assert world.staged() == {}


def test_another_study_than_the_path_names(api: Api, world: World, make_files: MakeFiles) -> None:
    good = list(make_files(n_slices=2).values())
    study = study_of(good[0])
    response = stow(api, [good[0], in_another_study(good[1], "1.2.3")], f"/{study}")
    assert response.status_code == 202
    assert list(failures(response.json())) == [(MISMATCH, "study_mismatch", "0020000D")]
    assert stow(api, [good[0]], "/1.2.3").status_code == 409
    assert waiting(world) == {study: good[:1]}


def test_files_without_a_study_are_one_study_of_the_request(api: Api, world: World, make_files: MakeFiles) -> None:
    files = [in_another_study(content, "") for content in make_files().values()]
    response = stow(api, files)
    assert response.status_code == 200, response.text
    ((study, content),) = waiting(world).items()
    assert study.startswith("2.25.")
    assert content == files


def test_xml_where_that_alone_is_asked_for(api: Api, make_files: MakeFiles) -> None:
    files = make_files(n_slices=2)
    response = stow(api, [*files.values(), b"no DICOM" * 100], headers={"Accept": "application/dicom+xml"})
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/dicom+xml"
    root = Xml.fromstring(response.content)
    found = root.findall(".//{*}DicomAttribute[@keyword='ReferencedSOPInstanceUID']/{*}Value")
    assert [value.text for value in found] == sop_uids(files)
    both = stow(api, files.values(), headers={"Accept": "application/dicom+xml, application/dicom+json"})
    assert both.headers["content-type"] == "application/dicom+json"


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        (RELATED, b"", 400, "empty_body"),
        (RELATED, b"\r\n", 400, "malformed_upload"),
        (RELATED, related([]), 400, "empty_body"),
        (RELATED, b"x" * 10_000, 400, "malformed_upload"),
        (RELATED, related([b"x"])[:-3], 400, "malformed_upload"),
        ('multipart/related; type="application/dicom"', b"x", 400, "malformed_upload"),
        (RELATED, related([b"{}"], media_type="application/dicom+json"), 415, "unsupported_media_type"),
        (RELATED.replace("dicom", "dicom+json"), related([b"{}"]), 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", b"x", 415, "unsupported_media_type"),
        ("application/json", b"{}", 415, "unsupported_media_type"),
        ("", b"x", 415, "unsupported_media_type"),
    ],
)
def test_bodies_that_are_no_request(
    api: Api, world: World, content_type: str, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = api.post("/dicomweb/studies", content=body, headers=headers)
    assert_problem(response, status, code)
    assert world.staged() == {}


def test_a_compressed_body(api: Api, world: World) -> None:
    assert_problem(stow(api, [b"x"], headers={"Content-Encoding": "gzip"}), 415, "unsupported_media_type")
    assert world.staged() == {}


def test_a_volume_does_not_come_by_dicomweb(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "volume.nii"
    nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 4), -1000, np.int16), np.eye(4)), path)  # type: ignore[no-untyped-call]
    response = stow(api, [path.read_bytes()])
    assert response.status_code == 409
    assert list(failures(response.json(), "0008119A")) == [(UNREADABLE, "not_dicom", None)]


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({"max_upload_bytes": 5000}, 413, "body_too_large"),
        ({"max_upload_files": 3}, 413, "too_many_files"),
        # Never 429, 503 or 504: a client would send it again, and nothing of it.
        ({"max_queued_jobs": 1}, 507, "queue_full"),
        ({"max_staging_bytes": 1}, 507, "staging_full"),
        ({"min_free_bytes": 2**60}, 507, "storage_full"),
        ({"intake_encoder": "unheard_of"}, 404, "unknown_encoder"),
    ],
)
def test_limits(world: World, make_files: MakeFiles, limits: dict[str, Any], status: int, code: str) -> None:
    with serving(world.app()) as api:
        assert stow(api, make_files(9).values()).status_code == 200
    before = world.staged()
    with serving(world.app(**limits)) as api:
        body = related(make_files().values())
        response = stow(api, (), content=in_pieces(body))
    assert_problem(response, status, code)
    assert world.staged() == before


def test_pixels_of_an_instance(world: World, make_files: MakeFiles) -> None:
    with serving(world.app(max_file_pixels=32 * 31)) as api:
        response = stow(api, make_files(n_slices=1).values())
    assert response.status_code == 409
    assert [(reason, code) for reason, code, _ in failures(response.json())] == [(0xA700, "too_many_pixels")]


def test_a_client_that_goes_away_leaves_nothing(api: Api, world: World, make_files: MakeFiles) -> None:
    body = related(make_files().values())

    async def leaves() -> Any:
        yield body[: len(body) // 2]
        raise ClientDisconnect

    assert_problem(stow(api, (), content=leaves()), 400, "client_disconnected")
    assert world.staged() == {}
    assert waiting(world) == {}


class Unavailable:
    """Arrivals whose catalogue is away, after some studies or from the beginning."""

    def __init__(self, inner: Any, after: int) -> None:
        self._inner = inner
        self._left = after

    def add(self, *arguments: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise CatalogueUnavailable("the catalogue is away")
        return self._inner.add(*arguments)


@pytest.mark.parametrize(("after", "status"), [(0, 500), (1, 202)])
def test_a_catalogue_that_goes_away(world: World, make_files: MakeFiles, after: int, status: int) -> None:
    first, second = (list(make_files(seed, n_slices=1).values()) for seed in (1, 2))
    app = world.app()
    context = app.state.context
    app.state.context = dataclasses.replace(context, arrivals=Unavailable(context.arrivals, after))
    with serving(app) as api:
        response = stow(api, first + second)
    assert response.status_code == status
    if status == 500:
        assert_problem(response, 500, "catalogue_unavailable")
        assert world.staged() == {}
    else:
        assert list(failures(response.json())) == [(0xA700, "catalogue_unavailable", None)]
        assert waiting(world) == {study_of(first[0]): first}


def test_hashed_uids(world: World, make_files: MakeFiles) -> None:
    files = make_files()
    study = study_of(next(iter(files.values())))
    with serving(world.app(uid_policy=UidPolicy.HASH)) as api:
        response = stow(api, files.values(), f"/{study}")
        (hashed,) = waiting(world)
        again = stow(api, files.values(), f"/{hashed}")
        jobs = api.get("/v1/jobs", params={"study_uid": study}).json()["items"]
    assert response.status_code == again.status_code == 200
    assert uids(response.json(), "00081199") == sop_uids(files), "answers echo the sender's own"
    assert hashed.startswith("2.25.")
    assert study not in response.headers["link"]
    assert [job["job_id"] for job in jobs] == [response.headers["slicebank-job"]]


def test_needs_the_key(empty_api: Api) -> None:
    assert empty_api.request("POST", "/dicomweb/studies", key=None).status_code == 401
    assert empty_api.request("GET", "/dicomweb/studies", key=KEY + "x").status_code == 401


def test_refusals_are_counted(api: Api) -> None:
    stow(api, [b"Dear colleague, " * 100])
    stow(api, (), content=b"x" * 10_000)
    text = api.get("/metrics").text
    assert 'slicebank_uploads_refused_total{code="nothing_usable"} 1.0' in text
    assert 'slicebank_uploads_refused_total{code="malformed_upload"} 1.0' in text
