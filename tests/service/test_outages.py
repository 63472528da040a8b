"""Answers while a part is away: never a crash, always what is missing and when to ask again; and nothing accepted is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import BlobsUnavailable
from slicebank_store.types import JobState
from tests.service.support import Api, FakeWorker, MakeFiles, World, assert_problem, make_bags, serving
from tests.store.postgres import Postgres
from tests.store.upkeep.stocking import train

JOB = "0" * 32
ASKED = [
    ("GET", "/v1/series", None),
    ("GET", "/v1/series/1.2.3", None),
    ("DELETE", "/v1/series/1.2.3", None),
    ("POST", "/v1/series/1.2.3/bags", {}),
    ("GET", "/v1/jobs", None),
    ("GET", f"/v1/jobs/{JOB}", None),
    ("GET", f"/v1/jobs/{JOB}?wait=5", None),
    ("GET", f"/v1/jobs/{JOB}/events", None),
    ("POST", f"/v1/jobs/{JOB}/cancel", None),
    ("POST", f"/v1/jobs/{JOB}/retry", None),
    ("GET", "/v1/bags", None),
    ("GET", f"/v1/bags/{JOB}", None),
    ("GET", f"/v1/bags/{JOB}/file", None),
    ("GET", "/v1/heads", None),
    ("POST", "/v1/heads/h/predictions", {"series_uid": "1.2.3"}),
    ("GET", f"/v1/predictions/{JOB}", None),
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@contextmanager
def on_postgres(world: World, postgres: Postgres) -> Iterator[World]:
    catalogue = Catalogue.open(postgres.empty())
    try:
        yield replace(world, catalogue=catalogue)
    finally:
        catalogue.close()


def test_without_the_database_every_answer_says_so(
    world: World, postgres: Postgres, make_files: MakeFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    with on_postgres(world, postgres) as away, serving(away.app()) as api:
        postgres.stop()
        try:
            capsys.readouterr()
            for method, path, body in ASKED:
                response = api.request(method, path, json=body)
                assert_problem(response, 503, "catalogue_unavailable")
                assert response.headers["retry-after"] == "2"
            response = api.upload(make_files())
            assert_problem(response, 503, "catalogue_unavailable")
            assert away.staged() == {}, "refused before anything was written"
            metrics = api.get("/metrics")
            assert "slicebank_catalogue_up 0.0" in metrics.text
            assert api.get("/ready").json() == {
                "status": "not ready",
                "catalogue": False,
                "notifications": True,
                "blobs": True,
            }
            assert api.get("/health").status_code == 200
            lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        finally:
            postgres.start()
        assert api.get("/ready").json()["catalogue"]
        while (answer := api.upload(make_files())).status_code != 202:  # what was counted last is believed for a second
            assert_problem(answer, 503, "catalogue_unavailable")
            time.sleep(0.05)
    told = [line for line in lines if line.get("code") == "catalogue_unavailable"]
    assert len(told) == len(ASKED) + 1, "one line a request"
    assert all("exception" not in line and line["event"] == "request" for line in told)


def test_a_database_that_goes_away_in_the_middle_of_an_upload_loses_nothing(
    world: World, postgres: Postgres, make_files: MakeFiles
) -> None:
    files = make_files()
    with on_postgres(world, postgres) as there:
        # Away from the moment on at which the job stands and its message is to be noted.
        dispatch = there.queue.dispatch

        class Queue(type(there.queue)):  # type: ignore[misc]
            def dispatch(self, *arguments: object) -> None:
                postgres.stop()
                dispatch(*arguments)  # type: ignore[arg-type]

        with serving(replace(there, queue=Queue()).app()) as api:
            try:
                answer = api.upload(files, wait=5)
            finally:
                postgres.start()
        assert answer.status_code == 202, "it was accepted"
        accepted = answer.json()["series"][0]
        assert accepted["state"] == "queued"
        (upload_id,) = there.staged()
        assert there.catalogue.jobs.staging_needed("default", upload_id)
        with serving(there.app()) as api:
            assert api.upload(files).json()["series"][0]["job_id"] == accepted["job_id"]
            assert set(there.staged()) == {upload_id}
            assert FakeWorker(there).embed(accepted["job_id"]).bag_id == accepted["bag_id"]


def test_a_broker_that_is_away_only_delays(api: Api, world: World, make_files: MakeFiles) -> None:
    world.queue.down = True
    answer = api.upload(make_files())
    assert (answer.status_code, answer.json()["series"][0]["state"]) == (202, "queued")


class AwayBlobs(DirectoryBlobs):
    """Blobs whose backend has gone away; nothing can be opened or deleted."""

    def open_local(self, key: str) -> object:  # type: ignore[override]
        raise BlobsUnavailable("the blob store does not answer; try again")

    def open_reader(self, key: str) -> object:  # type: ignore[override]
        raise BlobsUnavailable("the blob store does not answer; try again")

    def delete(self, key: str) -> bool:
        raise BlobsUnavailable("the blob store does not answer; try again")


def test_without_the_blobs_bags_wait_and_uploads_go_on(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    (bag,) = make_bags(api, worker, make_files, 1)
    away = replace(world, blobs=AwayBlobs(world.settings.resolved_blobs_dir))
    with serving(away.app()) as other:
        response = other.get(f"/v1/bags/{bag.bag_id}/file")
        assert_problem(response, 503, "blobs_unavailable")
        assert response.headers["retry-after"] == "2"
        job_id = other.upload(make_files(7)).json()["series"][0]["job_id"]
        job = away.catalogue.jobs.get("default", job_id)
        assert job is not None
        assert job.state is JobState.QUEUED
        assert_problem(other.delete(f"/v1/series/{bag.series_uid}"), 503, "blobs_unavailable")


class Flaky(DirectoryBlobs):
    """Blobs that can be removed only while the store is there."""

    away = True

    def delete(self, key: str) -> bool:
        if self.away:
            raise BlobsUnavailable("the blob store does not answer; try again")
        return super().delete(key)


def test_a_deletion_is_done_only_when_the_files_are_gone(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    series, bag = make_bags(api, worker, make_files, 2)
    blobs = Flaky(world.settings.resolved_blobs_dir)
    with serving(replace(world, blobs=blobs).app()) as other:
        for path in (f"/v1/series/{series.series_uid}", f"/v1/bags/{bag.bag_id}"):
            blobs.away = True
            for _ in range(2):
                assert_problem(other.delete(path), 503, "blobs_unavailable")
            blobs.away = False
            assert other.delete(path).status_code == 204
    assert list(world.blobs.keys()) == []
    assert world.catalogue.doomed.page() == ()


def test_a_head_that_is_gone_by_name_is_not_done_while_its_file_is_there(world: World) -> None:
    blobs = Flaky(world.settings.resolved_blobs_dir)
    with serving(replace(world, blobs=blobs).app()) as api:
        head_id, _ = train(world.catalogue, world.blobs)
        name = api.get(f"/v1/heads/{head_id}").json()["name"]
        for path in (f"/v1/heads/{name}", f"/v1/heads/{name}", f"/v1/heads/{head_id}"):
            assert_problem(api.delete(path), 503, "blobs_unavailable")
        blobs.away = False
        assert api.delete(f"/v1/heads/{name}").status_code == 204
    assert list(world.blobs.keys()) == []


def test_files_of_a_deletion_that_died_go_with_the_next_sweep(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    (bag,) = make_bags(api, worker, make_files, 1)
    world.catalogue.deletions.delete_series("default", bag.series_uid)  # and nothing after it
    assert list(world.blobs.keys()) == [bag.blob_key]
    with serving(world.app(staging_sweep_seconds=0.05)):
        deadline = time.monotonic() + 30
        while world.catalogue.doomed.page() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert list(world.blobs.keys()) == []
