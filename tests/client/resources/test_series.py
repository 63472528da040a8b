"""Uploads and series, against a server that speaks the contract."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import httpx
import pytest

from slicebank import Client, Retries, UploadProgress, errors
from slicebank.upload.batches import batches_of
from slicebank.upload.discover import discover
from tests.client.speaking_server import Reply, Request, SpeakingServer, problem

DICOM = bytes(128) + b"DICM" + bytes(1000)


def accepted(uid: str = "1.2.3", **values: object) -> dict[str, object]:
    series = {
        "series_uid": uid,
        "study_uid": "1.2",
        "n_slices": 2,
        "geometry": {},
        "stacks": [],
        "revision": 1,
        "job_id": f"job-{uid}",
        "bag_id": f"bag-{uid}",
        "state": "queued",
        "new_in_some_later_version": True,
    }
    return {"series": [{**series, **values}], "rejected": []}


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DICOM)
    return tmp_path / "study"


def test_a_folder_arrives_as_tar_with_progress(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted()))
    seen: list[UploadProgress] = []
    upload = client.series.upload(
        folder(tmp_path, "a/1", "a/2"),
        encoder="dummy",
        retain=True,
        stack="all",
        priority="bulk",
        patient="P 1",
        study_uid="1.9",
        assume_rescale=(1.0, -1024.0),
        force="not_hu",
        on_progress=seen.append,
    )
    [request] = server.asked("POST /v1/series")
    assert request.members == {"study/a/1": DICOM, "study/a/2": DICOM}
    assert request.headers["content-type"] == "application/x-tar"
    assert int(request.headers["content-length"]) == len(request.body)
    assert request.query == {
        "encoder": "dummy",
        "retain": "true",
        "stack": "all",
        "priority": "bulk",
        "patient": "P 1",
        "study_uid": "1.9",
        "assume_rescale": "1.0,-1024.0",
        "force": "not_hu",
        "digest": request.query["digest"],
    }
    assert [item.series_uid for item in upload] == ["1.2.3"]
    assert upload.job_ids == ("job-1.2.3",)
    assert upload.bag_ids == ("bag-1.2.3",)
    assert [item.hashed_bytes for item in seen[:2]] == [len(DICOM), 2 * len(DICOM)]
    sent = [item.sent_bytes for item in seen]
    assert sent == sorted(sent)
    assert sent[0] == 0
    assert sent[-1] == seen[-1].total_bytes == len(request.body)


def test_an_archive_is_sent_as_it_is(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.dcm", DICOM)
    server.on("POST /v1/series", Reply(202, accepted()))
    client.series.upload(str(path))
    [request] = server.asked("POST /v1/series")
    assert request.body == path.read_bytes()
    assert request.headers["content-type"] == "application/zip"
    assert request.query == {"digest": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_embed_false_travels(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted(job_id=None, bag_id=None)))
    upload = client.series.upload([folder(tmp_path, "1")], embed=False, check=False)
    assert server.requests[0].query == {"embed": "false"}
    assert upload.job_ids == ()


def test_a_refused_request_does_not_stop_the_others(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("1", DICOM)
    refusal = problem(422, "nothing_usable", "No.", rejected=[{"name": "1", "code": "not_ct", "detail": "MR."}])
    server.on("POST /v1/series", Reply(202, accepted("1")), refusal, Reply(200, accepted("2", state="succeeded")))
    upload = client.series.upload([tmp_path / f"{name}.zip" for name in ("a", "b", "c")])
    assert [item.series_uid for item in upload] == ["1", "2"]
    assert [(item.name, item.code) for item in upload.rejected] == [("b.zip/1", "not_ct")]


def test_nothing_usable_lists_every_refusal(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.zip").write_bytes(b"PK\x03\x04")

    def refuse(request: Request) -> Reply:
        return problem(
            422,
            "nothing_usable",
            "No.",
            rejected=[{"name": str(len(server.asked("POST /v1/series"))), "code": "not_ct", "detail": "MR."}],
        )

    server.on("POST /v1/series", refuse)
    with pytest.raises(errors.NothingUsable) as caught:
        client.series.upload([tmp_path / "a.zip", tmp_path / "b.zip"])
    assert [item.name for item in caught.value.rejected] == ["a.zip/1", "b.zip/2"]


def test_another_refusal_stops_at_once(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", problem(404, "unknown_encoder", "There is no encoder 'x'."))
    with pytest.raises(errors.NotFound) as caught:
        client.series.upload(folder(tmp_path, "1"), encoder="x")
    assert caught.value.code == "unknown_encoder"


def test_nothing_to_upload(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(errors.NothingToUpload) as caught:
        client.series.upload(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert server.requests == []


def test_an_interrupted_upload_says_what_arrived(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.zip").write_bytes(b"PK\x03\x04")
    answers = iter([httpx.Response(202, json=accepted())])

    def handler(request: httpx.Request) -> httpx.Response:
        request.read()
        for answer in answers:
            return answer
        raise httpx.WriteError("gone", request=request)

    retries = Retries(outage=0)
    client = Client("http://server", "key", transport=httpx.MockTransport(handler), retries=retries)
    with client, pytest.raises(errors.UploadInterrupted) as caught:
        client.series.upload(tmp_path, check=False)
    assert [item.series_uid for item in caught.value.done] == ["1.2.3"]
    assert "2 of 2" in str(caught.value)


def test_memory_stays_that_of_a_chunk(tmp_path: Path) -> None:
    """The body is made chunk by chunk: no chunk holds more than the chunk size, whatever the file's size."""
    path = tmp_path / "big.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(3_000_000))
    [batch] = batches_of(discover([path]))
    assert max(len(chunk) for chunk in batch.body().read()) <= 256 * 1024


def test_series_are_listed_page_by_page(client: Client, server: SpeakingServer) -> None:
    server.on(
        "GET /v1/series",
        {"items": [{"series_uid": "1"}, {"series_uid": "2"}], "next_cursor": "c"},
        {"items": [{"series_uid": "3"}], "next_cursor": None},
    )
    assert [item.series_uid for item in client.series.list()] == ["1", "2", "3"]
    assert [request.query.get("cursor") for request in server.requests] == [None, "c"]


def test_a_limit_ends_the_walk(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/series", {"items": [{"series_uid": "1"}, {"series_uid": "2"}], "next_cursor": "c"})
    assert [item.series_uid for item in client.series.list(limit=2)] == ["1", "2"]
    assert len(server.requests) == 1
    assert server.requests[0].query["limit"] == "2"


def test_a_cursor_that_does_not_move_is_an_error(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/series", {"items": [{"series_uid": "1"}], "next_cursor": "c"})
    with pytest.raises(errors.UnexpectedAnswer):
        list(client.series.list())


def test_get_delete_embed(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/series/1.2", {"series_uid": "1.2", "n_slices": 5, "geometry": {"uniform": True}})
    server.on("DELETE /v1/series/1.2", Reply(204))
    server.on("POST /v1/series/1.2/bags", Reply(202, {"job_id": "j", "bag_id": "b"}))
    assert client.series.get("1.2").geometry == {"uniform": True}
    client.series.delete("1.2")
    made = client.series.embed("1.2", encoder="e", windows=["lung"], precision="fp32", stack=1)
    assert (made.job_id, made.bag_id, made.series_uid) == ("j", "b", "1.2")
    assert server.requests[-1].json == {"encoder": "e", "windows": ["lung"], "precision": "fp32", "stack": 1}
