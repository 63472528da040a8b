from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from slicebank_service.uploads.resumable import ResumableUploads
from tests.service.support import ENCODER, KEY, Api, FakeWorker, MakeFiles, World, assert_problem, serving
from tests.service.upload_forms import codes, zipped
from tests.service.uploads.tus import BYTES, TUS, add, begin, begun, offset


def checksum(content: bytes, algorithm: str = "sha256") -> dict[str, str]:
    digest = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    return {"Upload-Checksum": f"{algorithm} {digest}"}


def test_what_is_spoken_is_said(api: Api, world: World) -> None:
    response = api.request("OPTIONS", "/v1/uploads")
    assert response.status_code == 204
    assert response.headers["tus-version"] == "1.0.0"
    assert response.headers["tus-max-size"] == str(world.settings.max_upload_bytes)
    assert set(response.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "expiration", "checksum", "termination",
    }  # fmt: skip
    assert response.headers["tus-checksum-algorithm"] == "sha256,sha1"
    assert_problem(api.request("OPTIONS", "/v1/uploads", key=None), 401, "unauthorized")


def test_an_upload_in_parts_ends_in_the_answer_of_a_whole_one(api: Api, world: World, make_files: MakeFiles) -> None:
    content = zipped({**make_files(), "notes.txt": b"hello " * 50})
    location = begun(api, len(content), filename="DOE^JANE.zip")
    assert_problem(api.get(location), 409, "upload_incomplete")
    response = add(api, location, 0, content[:1000])
    assert (response.status_code, response.headers["upload-offset"], response.content) == (204, "1000", b"")
    assert "GMT" in response.headers["upload-expires"]
    assert offset(api, location) == 1000
    response = add(api, location, 1000, content[1000:])
    assert (response.status_code, response.headers["upload-offset"]) == (202, str(len(content)))
    answer = response.json()
    assert answer["series"][0]["n_slices"] == 4
    assert codes(answer) == {"notes.txt": "not_dicom"}
    again = api.get(location)
    assert again.status_code == 202
    assert again.json()["series"] == answer["series"]
    assert codes(again.json()) == {"file 1": "not_dicom"}, "names are told once, and written nowhere"
    FakeWorker(world).embed(answer["series"][0]["job_id"])
    again = api.get(location)
    assert (again.status_code, again.json()["series"][0]["state"]) == (200, "succeeded")
    assert offset(api, location) == len(content)
    assert add(api, location, len(content), b"").json()["series"] == again.json()["series"]
    names = "\n".join(path.as_posix() for path in world.settings.resolved_data_dir.rglob("*"))
    kept = b"".join(path.read_bytes() for path in world.staging_dir.rglob("*") if path.is_file())
    assert b"notes" not in kept
    assert b"DOE" not in kept
    assert "DOE" not in names


def test_bytes_may_come_with_the_beginning(api: Api, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    response = begin(api, len(content), content=content[:500])
    assert (response.status_code, response.headers["upload-offset"], response.content) == (201, "500", b"")
    assert add(api, response.headers["location"], 500, content[500:]).status_code == 202
    whole = begin(api, len(content), content=content)
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, str(len(content)))
    assert whole.json()["series"][0]["n_slices"] == 4


@pytest.mark.parametrize(
    ("length", "content", "headers", "status"),
    [
        (10, b"12345", checksum(b"other"), 460),
        (10, b"12345678901", {}, 413),
        (10, b"1234567890", {}, 422),
        (10, b"12345", {"Upload-Checksum": "md5 abcd"}, 422),
    ],
)
def test_a_beginning_that_fails_leaves_no_upload_that_nobody_knows_of(
    api: Api, world: World, length: int, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert begin(api, length, content=content, headers=headers).status_code == status
    assert world.staged() == {}


def test_an_upload_that_ends_while_it_is_asked_for_is_unknown(api: Api, world: World) -> None:
    location = begun(api, 10)
    folder = world.staging_dir / location.rpartition("/")[2]
    # As it is for who found the lock taken and then the folder gone: no file can be made there.
    (folder / "release").symlink_to(folder / "gone" / "release")
    with (folder / "lock").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert_problem(api.delete(location, headers=TUS), 404, "unknown_upload")


def test_methods_may_be_overridden(api: Api, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    location = begun(api, len(content))
    headers = {**TUS, **BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert api.post(location, headers=headers, content=content).status_code == 202


def test_what_is_asked_holds_for_the_upload(api: Api, world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files(patient_id="A"))
    location = begun(api, len(content), patient="MRN-4711", study_uid="1.2.3", embed="false")
    kept = b"".join(path.read_bytes() for path in world.staging_dir.rglob("*") if path.is_file())
    assert b"4711" not in kept
    (series,) = add(api, location, 0, content).json()["series"]
    assert (series["study_uid"], series["bag_id"]) == ("1.2.3", None)
    (stored,) = api.get("/v1/series", params={"patient": "MRN-4711"}).json()["items"]
    assert stored["patient"] == world.keys.patient("default", "MRN-4711")


def test_nothing_usable_is_refused_as_it_would_be_at_once(api: Api, world: World) -> None:
    location = begun(api, 300, filename="letter.txt")
    body = assert_problem(add(api, location, 0, b"x" * 300), 422, "nothing_usable")
    assert [item["code"] for item in body["rejected"]] == ["not_dicom"]
    assert_problem(api.get(location), 422, "nothing_usable")
    assert_problem(add(api, location, 300, b""), 422, "nothing_usable")
    assert [sorted(names) for names in world.staged().values() if names] == [["lock", "tus.json"]]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412, "unsupported_tus_version"),
        ({"Upload-Length": "-1"}, 422, "bad_request"),
        ({"Upload-Length": "1" * 30}, 422, "bad_request"),
        ({"Upload-Length": "", "Upload-Defer-Length": "1"}, 422, "bad_request"),
        ({"Upload-Length": "0"}, 400, "empty_body"),
        ({"Upload-Length": str(2**40)}, 413, "body_too_large"),
        ({"Upload-Metadata": "filename ?"}, 422, "bad_request"),
        ({"Upload-Metadata": b"filename \xe9"}, 422, "bad_request"),
    ],
)
def test_beginnings_that_make_no_sense(api: Api, world: World, headers: dict[str, Any], status: int, code: str) -> None:
    response = begin(api, 10, headers=headers)
    assert_problem(response, status, code)
    assert response.headers["tus-resumable"] == "1.0.0"
    if status == 412:
        assert response.headers["tus-version"] == "1.0.0"
    assert world.staged() == {}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"encoder": "nobody"}, 404, "unknown_encoder"),
        ({"stack": "most"}, 422, "invalid_request"),
        ({"force": "yes"}, 422, "bad_option"),
        ({"group": "0" * 32, "case": 0}, 404, "unknown_group"),
        ({"case": 0}, 422, "bad_request"),
        ({"digest": "abc"}, 422, "invalid_request"),
    ],
)
def test_queries_are_judged_at_the_beginning(
    api: Api, world: World, query: dict[str, object], status: int, code: str
) -> None:
    assert_problem(begin(api, 10, **query), status, code)
    assert world.staged() == {}


@pytest.mark.parametrize(
    ("at", "headers", "status", "code"),
    [
        (1, {}, 409, "offset_mismatch"),
        (0, {"Upload-Offset": "first"}, 422, "bad_request"),
        (0, {"Content-Type": "application/zip"}, 415, "unsupported_media_type"),
        (0, {"Tus-Resumable": "2.0.0"}, 412, "unsupported_tus_version"),
        (0, {"Upload-Checksum": "md5 abcd"}, 422, "bad_request"),
        (0, {"Upload-Checksum": "sha256 ?"}, 422, "bad_request"),
        (0, {"Upload-Checksum": b"sha256 \xe9"}, 422, "bad_request"),
        (0, checksum(b"other"), 460, "checksum_mismatch"),
        (0, checksum(b"other", "sha1"), 460, "checksum_mismatch"),
    ],
)
def test_parts_that_make_no_sense(api: Api, at: int, headers: dict[str, Any], status: int, code: str) -> None:
    location = begun(api, 10)
    assert_problem(add(api, location, at, b"12345", headers), status, code)
    assert offset(api, location) == 0


def test_a_part_with_its_checksum_counts(api: Api, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    location = begun(api, len(content))
    assert add(api, location, 0, content[:700], checksum(content[:700])).status_code == 204
    assert_problem(add(api, location, 700, content[700:], checksum(b"")), 460, "checksum_mismatch")
    assert offset(api, location) == 700
    assert add(api, location, 700, content[700:], checksum(content[700:], "sha1")).status_code == 202


def test_more_bytes_than_promised_are_refused_and_none_of_them_kept(api: Api) -> None:
    location = begun(api, 10)
    add(api, location, 0, b"123")
    assert_problem(add(api, location, 3, b"x" * 3_000_000), 413, "body_too_large")
    assert offset(api, location) == 3


def test_an_upload_can_be_ended(api: Api, world: World) -> None:
    location = begun(api, 10)
    add(api, location, 0, b"123")
    assert api.delete(location, headers=TUS).status_code == 204
    assert world.staged() == {}
    assert list(world.staging_dir.iterdir()) == []
    for response in (api.get(location), add(api, location, 3, b"4"), api.delete(location, headers=TUS)):
        assert_problem(response, 404, "unknown_upload")
    assert api.request("HEAD", location, headers=TUS).status_code == 404


def test_other_uploads_and_projects_are_not_there(world: World, make_files: MakeFiles) -> None:
    with serving(world.app()) as api:
        location = begun(api, 10)
        api.upload(make_files())
        (job_id,) = world.queue.job_ids
        job = world.catalogue.jobs.get("default", job_id)
        assert job is not None
        for name in (str(job.staging), "0" * 32, "tus.json"):
            assert_problem(api.get(f"/v1/uploads/{name}"), 404, "unknown_upload")
    with serving(world.app(project="other")) as api:
        assert_problem(api.get(location), 404, "unknown_upload")


def test_so_many_uploads_are_open_and_no_more(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    with serving(world.app(max_open_uploads=2)) as api:
        first = begun(api, len(content))
        second = begun(api, 10)
        response = begin(api, 10)
        body = assert_problem(response, 429, "too_many_uploads")
        assert response.headers["retry-after"] == str(body["retry_after_seconds"])
        assert add(api, first, 0, content).status_code == 202
        third = begun(api, 10)
        assert_problem(begin(api, 10), 429, "too_many_uploads")
        for location in (second, third):
            api.delete(location, headers=TUS)
        begun(api, 10)


def test_an_upload_expires_and_leaves_nothing(api: Api, world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    locations = [begun(api, len(content)) for _ in range(2)]
    add(api, locations[0], 0, content)
    add(api, locations[1], 0, content[:100])
    long_ago = time.time() - world.settings.staging_orphan_seconds - 10
    for location in locations:
        folder = world.staging_dir / location.rpartition("/")[2]
        for path in (*folder.iterdir(), folder):
            os.utime(path, (long_ago, long_ago))
        assert_problem(api.get(location), 404, "unknown_upload")
    ResumableUploads(world.staging, "default", kept_s=1e9).get(locations[1].rpartition("/")[2])
    FakeWorker(world).embed(world.queue.job_ids[0])
    world.staging.sweep(
        lambda: world.catalogue.jobs.staging_in_use(failed_within_s=1),
        older_than_s=world.settings.staging_orphan_seconds,
    )
    assert list(world.staging_dir.iterdir()) == []


def test_a_process_that_died_while_it_took_in_is_followed_by_another(
    api: Api, world: World, make_files: MakeFiles
) -> None:
    content = zipped(make_files())
    location = begun(api, len(content))
    add(api, location, 0, content[:-1])
    folder = world.staging_dir / location.rpartition("/")[2]
    with (folder / "body").open("ab") as file:  # as it lies when the process dies after the last byte
        file.write(content[-1:])
    (series,) = api.get(location).json()["series"]
    assert series["n_slices"] == 4
    assert not (folder / "body").exists()


def test_bytes_that_were_never_verified_do_not_count(api: Api, world: World) -> None:
    location = begun(api, 10)
    add(api, location, 0, b"123")
    folder = world.staging_dir / location.rpartition("/")[2]
    (folder / "unverified").write_text("3")
    with (folder / "body").open("ab") as file:
        file.write(b"45678")
    assert offset(api, location) == 3
    assert (folder / "body").read_bytes() == b"123"
    assert not (folder / "unverified").exists()


def test_who_asks_again_takes_over_from_a_connection_that_hangs(api: Api, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    location = begun(api, len(content))

    async def hang_and_resume() -> tuple[httpx.Response, int, httpx.Response]:
        first: list[httpx.Response] = []
        sent = anyio.Event()

        async def hanging() -> AsyncIterator[bytes]:
            yield content[:1500]
            sent.set()
            await anyio.sleep(60)

        headers = {**TUS, **BYTES, "Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:

            async def send() -> None:
                first.append(
                    await client.patch(
                        location, headers={**headers, "Upload-Offset": "0"}, content=hanging(), timeout=90
                    )
                )

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                await sent.wait()
                head = await client.head(location, headers=headers)
                at = int(head.headers["upload-offset"])
                rest = await client.patch(
                    location, headers={**headers, "Upload-Offset": str(at)}, content=content[at:], timeout=90
                )
        return first[0], at, rest

    first, at, rest = api.call(hang_and_resume)
    assert_problem(first, 423, "upload_locked")
    assert at == 1500, "what had come is kept"
    assert rest.status_code == 202


def test_uploads_wait_and_are_counted_as_others(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    with serving(world.app(max_queued_jobs=1)) as api:
        location = begun(api, len(content))
        add(api, location, 0, content)
        time.sleep(1.1)  # counts are kept for a second
        assert_problem(begin(api, 10), 429, "queue_full")
        text = api.get("/metrics").text
    assert "slicebank_uploads_accepted_total 1.0" in text
    assert 'slicebank_uploads_refused_total{code="queue_full"} 1.0' in text
    assert 'route="/v1/uploads/{upload_id}"' in text


def test_a_full_disk_is_said_and_the_upload_goes_on_later(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    with serving(world.app()) as api:
        location = begun(api, len(content))
        add(api, location, 0, content[:100])
    with serving(world.app(min_free_bytes=2**60)) as api:
        assert_problem(begin(api, 10), 507, "storage_full")
        assert_problem(add(api, location, 100, content[100:]), 507, "storage_full")
        assert offset(api, location) == 100
    with serving(world.app()) as api:
        assert add(api, location, 100, content[100:], encoder=ENCODER).status_code == 202
