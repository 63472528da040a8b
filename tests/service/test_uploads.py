from __future__ import annotations

import asyncio
import gzip
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest
import structlog
from pydicom import Dataset
from starlette.types import Message

from slicebank_store.types import JobKind, JobState, Priority
from tests.service.support import ENCODER, KEY, Api, FakeWorker, MakeFiles, World, serving
from tests.service.upload_forms import changed, post, tarred, zipped


def test_an_upload_is_answered_with_its_series_and_job(api: Api, world: World, make_files: MakeFiles) -> None:
    response = api.upload(make_files(n_slices=4))
    assert response.status_code == 202
    answer = response.json()
    assert answer["rejected"] == []
    (series,) = answer["series"]
    assert series.keys() >= {
        "series_uid", "study_uid", "n_slices", "geometry", "stacks", "revision", "job_id", "bag_id", "state",
    }  # fmt: skip
    assert (series["n_slices"], series["revision"], series["state"]) == (4, 1, "queued")
    assert series["geometry"]["spacing_mm"]["median"] == 5.0
    assert world.queue.sent == [(JobKind.EMBED, series["job_id"], Priority.INTERACTIVE)]
    assert len(next(iter(world.staged().values()))) == 4
    manifest = world.catalogue.jobs.manifest(series["job_id"])
    assert [ref["z_mm"] for ref in manifest["slices"]] == sorted(ref["z_mm"] for ref in manifest["slices"])


@pytest.mark.parametrize("form", ["zip", "tar", "tar+encoding", "gzip", "zip in multipart", "tar.gz in multipart"])
def test_every_form_of_upload_gives_the_same_bag(api: Api, world: World, make_files: MakeFiles, form: str) -> None:
    files = {f"study/a series/{name}": content for name, content in make_files().items()}
    expected = api.upload(make_files()).json()["series"][0]
    tar_gz = gzip.compress(tarred(files), compresslevel=1)
    responses: dict[str, Callable[[], httpx.Response]] = {
        "zip": lambda: post(api, zipped(files), "application/zip"),
        "tar": lambda: post(api, tarred(files), "application/x-tar"),
        "tar+encoding": lambda: post(api, tar_gz, "application/x-tar", {"Content-Encoding": "gzip"}),
        "gzip": lambda: post(api, tar_gz, "application/gzip"),
        "zip in multipart": lambda: api.upload({"study.zip": zipped(files)}),
        "tar.gz in multipart": lambda: api.upload({"study.tar.gz": tar_gz}),
    }
    (series,) = responses[form]().json()["series"]
    assert (series["bag_id"], series["job_id"]) == (expected["bag_id"], expected["job_id"])
    assert len(world.queue.sent) == 1
    assert len(world.staged()) == 1, "the second upload has a twin in flight, so its files go"


def test_a_single_dicom_file_is_a_series(api: Api, make_files: MakeFiles) -> None:
    content = next(iter(make_files().values()))
    assert post(api, content, "application/dicom").json()["series"][0]["n_slices"] == 1


def test_uploading_again_computes_nothing(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    first = api.upload(make_files()).json()["series"][0]
    worker.embed(first["job_id"])
    response = api.upload(make_files())
    assert response.status_code == 200
    again = response.json()["series"][0]
    assert (again["bag_id"], again["job_id"], again["state"]) == (first["bag_id"], first["job_id"], "succeeded")
    assert len(world.queue.sent) == 1
    part = dict(list(make_files().items())[:2])
    assert api.upload(part).json()["series"][0]["bag_id"] == first["bag_id"], "a part of a known revision is a hit"


def test_another_encoder_gives_another_bag_beside_it(api: Api, make_files: MakeFiles) -> None:
    first = api.upload(make_files()).json()["series"][0]
    other = api.upload(make_files(), encoder="dummy").json()["series"][0]
    assert other["series_uid"] == first["series_uid"]
    assert other["revision"] == first["revision"]
    assert other["bag_id"] != first["bag_id"]


def test_the_same_series_sent_twice_at_once_has_one_job(api: Api, world: World, make_files: MakeFiles) -> None:
    async def both() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:
            parts = [("files", (name, content)) for name, content in make_files().items()]
            headers, query = {"Authorization": f"Bearer {KEY}"}, {"encoder": ENCODER}
            posts = (client.post("/v1/series", files=parts, params=query, headers=headers) for _ in range(6))
            return list(await asyncio.gather(*posts))

    answers = [response.json()["series"][0] for response in api.call(both)]
    assert len({answer["job_id"] for answer in answers}) == 1
    assert len(world.queue.sent) == 1
    assert list(world.staged()) == [world.catalogue.jobs.get("default", world.queue.job_ids[0]).staging]  # type: ignore[union-attr]


def test_a_hit_leaves_nothing_in_staging(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = api.upload(make_files()).json()["series"][0]["job_id"]
    before = set(world.staged())
    worker.embed(job_id)
    api.upload(make_files())
    assert set(world.staged()) == before


def test_a_client_that_goes_away_leaves_nothing(api: Api, world: World) -> None:
    async def upload_half() -> list[Message]:
        messages: list[Message] = [
            {"type": "http.request", "body": b"x" * 100, "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/zip")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/v1/series", "raw_path": b"/v1/series", "query_string": b"", "root_path": "", "headers": headers,
            "client": ("test", 1), "server": ("test", 80),
        }  # fmt: skip
        await api.app(scope, receive, send)
        return sent

    api.call(upload_half)
    assert world.staged() == {}


def test_names_and_identifiers_are_neither_stored_nor_logged(api: Api, world: World, make_files: MakeFiles) -> None:
    planted = {
        "BodyPartExamined": "DOE JANE",
        "SeriesDescription": "DOE",
        "PatientName": "DOE^JANE",
        "AccessionNumber": "DOE1",
    }

    def plant(data: Dataset) -> None:
        for keyword, value in planted.items():
            setattr(data, keyword, value)

    files = {f"DOE^JANE/{name}": changed(content, plant) for name, content in make_files(patient_id="MRN-4711").items()}
    with structlog.testing.capture_logs() as logs:
        answer = api.upload({**files, "DOE^JANE/letter.txt": b"secret words " * 20}).json()
    assert answer["rejected"][0]["name"] == "DOE^JANE/letter.txt"
    world.catalogue.close()
    with closing(sqlite3.connect(world.settings.resolved_data_dir / "catalogue.sqlite")) as connection:
        dump = "\n".join(connection.iterdump())
    names = "\n".join(path.as_posix() for path in world.settings.resolved_data_dir.rglob("*"))
    for text in (dump, names, repr(logs)):
        assert "DOE" not in text
        assert "MRN-4711" not in text
        assert "letter" not in text
    assert world.keys.patient("default", "MRN-4711") in dump


def test_patient_and_study_can_be_given(api: Api, world: World, make_files: MakeFiles) -> None:
    api.upload(make_files(patient_id="A"), patient="B", study_uid="1.2.3")
    (series,) = api.get("/v1/series").json()["items"]
    assert (series["study_uid"], series["patient"]) == ("1.2.3", world.keys.patient("default", "B"))
    assert api.get("/v1/series", params={"patient": "B"}).json()["items"] == [series]
    assert api.get("/v1/series", params={"patient": series["patient"]}).json()["items"] == [series]
    assert api.get("/v1/series", params={"patient": "A"}).json()["items"] == []


def test_a_patient_given_later_replaces_the_one_stored(api: Api, world: World, make_files: MakeFiles) -> None:
    worker = FakeWorker(world)
    first = api.upload(make_files(patient_id="A")).json()["series"][0]
    worker.embed(first["job_id"])
    again = api.upload(make_files(patient_id="A")).json()["series"][0]
    assert api.get("/v1/series", params={"patient": "A"}).json()["items"]
    given = api.upload(make_files(patient_id="A"), patient="B", study_uid="1.2.3").json()["series"][0]
    assert first["bag_id"] == again["bag_id"] == given["bag_id"]
    assert (given["state"], given["study_uid"]) == ("succeeded", "1.2.3")
    (series,) = api.get("/v1/series", params={"patient": "B"}).json()["items"]
    assert (series["series_uid"], series["study_uid"]) == (first["series_uid"], "1.2.3")
    bag = world.catalogue.bags.get("default", first["bag_id"])
    assert bag is not None
    assert (bag.patient, bag.study_uid) == (world.keys.patient("default", "B"), "1.2.3")


def test_a_head_is_warned_of(api: Api, make_files: MakeFiles) -> None:
    def head(data: Dataset) -> None:
        data.BodyPartExamined = "HEAD"

    files = {name: changed(content, head) for name, content in make_files().items()}
    (series,) = api.upload(files).json()["series"]
    assert any("face" in warning for warning in series["warnings"])
    assert api.get(f"/v1/series/{series['series_uid']}").json()["body_part"] == "HEAD"


def test_without_a_patient_the_study_stands_for_it(api: Api, world: World, make_files: MakeFiles) -> None:
    files = {
        name: changed(content, lambda data: setattr(data, "PatientID", "")) for name, content in make_files().items()
    }
    (series,) = api.upload(files).json()["series"]
    assert any("PatientID" in warning for warning in series["warnings"])
    stored = world.catalogue.series.get("default", series["series_uid"])
    assert stored is not None
    assert stored.patient == world.keys.patient("default", series["study_uid"])


def test_one_patient_of_two_sexes_is_warned_of(api: Api, make_files: MakeFiles) -> None:
    first = {f"a/{name}": content for name, content in make_files(1, patient_id="X", sex="F").items()}
    second = {f"b/{name}": content for name, content in make_files(2, patient_id="X", sex="M").items()}
    answer = api.upload({**first, **second}).json()
    assert len(answer["series"]) == 2
    assert all(any("sex" in warning for warning in series["warnings"]) for series in answer["series"])


def test_keeping_pixels_without_embedding(api: Api, world: World, make_files: MakeFiles) -> None:
    answer = api.upload(make_files(), embed="false").json()["series"][0]
    assert answer["bag_id"] is None
    assert [kind for kind, _, _ in world.queue.sent] == [JobKind.IMPORT]


def test_a_dead_broker_delays_a_job_and_loses_nothing(api: Api, world: World, make_files: MakeFiles) -> None:
    world.queue.down = True
    response = api.upload(make_files(), priority="bulk")
    assert response.status_code == 202
    job_id = response.json()["series"][0]["job_id"]
    due = world.catalogue.jobs.sweep(time.time(), redispatch_after_s=30)
    assert [job.job_id for job in due] == [job_id]


def test_waiting_ends_with_the_job(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    sent: list[str] = []

    async def both() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:
            answers: list[httpx.Response] = []

            async def upload() -> None:
                parts = [("files", (name, content)) for name, content in make_files().items()]
                query = {"wait": "30", "encoder": ENCODER}
                headers = {"Authorization": f"Bearer {KEY}"}
                answers.append(await client.post("/v1/series", files=parts, params=query, headers=headers, timeout=60))

            async def work() -> None:
                while not world.queue.sent:
                    await anyio.sleep(0.01)
                sent.append(world.queue.job_ids[0])
                await anyio.to_thread.run_sync(worker.embed, sent[0])

            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(upload)
                    group.start_soon(work)
            return answers[0]

    response = api.call(both)
    assert response.status_code == 200
    assert response.json()["series"][0]["state"] == JobState.SUCCEEDED


def test_orphaned_uploads_are_swept_at_start_up(world: World) -> None:
    upload = world.staging.new()
    (upload.folder / "part-000000").write_bytes(b"x")
    deadline = time.monotonic() + 30
    with serving(world.app(staging_orphan_seconds=1e-9)):
        while any(world.staging_dir.iterdir()):
            assert time.monotonic() < deadline, "the upload is still there"
            time.sleep(0.01)


@pytest.mark.realct
def test_real_series_with_scout_and_segmentations(real_ct: Path, api: Api) -> None:
    folder = real_ct / "ct" / "ge_chest_with_scout_and_seg"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    answer = api.upload(files).json()
    (series,) = answer["series"]
    assert series["n_slices"] == 135
    refused = {item["code"] for item in answer["rejected"]}
    assert {"localizer", "not_an_image"} <= refused
