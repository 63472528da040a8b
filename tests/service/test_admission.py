"""Limits on what waits, and disks that must not fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from slicebank_service.admission import EMBED_KINDS, Admission
from slicebank_service.errors import QueueFull
from slicebank_service.settings import GIBIBYTE, MEBIBYTE
from slicebank_store.errors import CatalogueUnavailable
from slicebank_store.intake import StagedBytes, Staging
from tests.service.support import FakeWorker, MakeFiles, World, assert_problem, make_bags, serving


def fresh(world: World, **limits: Any) -> Any:
    """An application whose counts are never older than the question."""
    app = world.app(**limits)
    context = app.state.context
    admission = Admission(
        context.settings,
        world.catalogue,
        StagedBytes(world.staging_dir, keep_s=0),
        {"staging": world.staging_dir},
        keep_s=0,
    )
    app.state.context = replace(context, admission=admission)
    return app


def test_a_full_queue_refuses_uploads_until_a_job_has_ended(
    world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    with serving(fresh(world, max_queued_jobs=2)) as api:
        jobs = [api.upload(make_files(seed)).json()["series"][0]["job_id"] for seed in range(2)]
        response = api.upload(make_files(2))
        body = assert_problem(response, 429, "queue_full")
        assert response.headers["retry-after"] == str(body["retry_after_seconds"]) == "5", "no rate was measured yet"
        assert_problem(api.upload(make_files(0)), 429, "queue_full")  # a hit cannot be told before its body is read
        worker.embed(jobs[0])
        assert api.upload(make_files(2)).status_code == 202
        body = assert_problem(api.upload(make_files(3)), 429, "queue_full")
        assert body["retry_after_seconds"] == 1, "the last job took less than a second"
    assert len(world.staged()) == 3, "what was refused left nothing"


def test_a_refusal_comes_before_the_body_is_read(world: World, make_files: MakeFiles) -> None:
    async def endless() -> Any:
        yield b"x"
        pytest.fail("the body was read on")

    with serving(fresh(world, max_queued_jobs=1)) as api:
        api.upload(make_files())
        response = api.post("/v1/series", content=endless(), headers={"Content-Type": "application/zip"})
        assert_problem(response, 429, "queue_full")


def test_bags_of_kept_series_and_heads_wait_in_the_same_way(
    world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    head = {"name": "h", "encoder": "hu_statistics", "task": {"kind": "binary", "labels": ["lesion"]}}
    training = {"folds": 2, "test_fraction": 0}
    with serving(fresh(world, max_queued_jobs=1)) as api:
        bags = make_bags(api, worker, make_files, 1)
        job_id = api.upload(make_files(8)).json()["series"][0]["job_id"]
        assert_problem(api.post(f"/v1/series/{bags[0].series_uid}/bags", json={}), 429, "queue_full")
        worker.embed(job_id)
        labels = [{"series_uid": bags[0].series_uid, "lesion": 1}]
        answer = api.post("/v1/heads", json={**head, "labels": labels, "training": training})
        assert answer.json()["code"] != "queue_full", "the queue of the trainer is another one"


def test_staged_bytes_are_bounded(world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    with serving(fresh(world, max_staging_bytes=1)) as api:
        job_id = api.upload(make_files()).json()["series"][0]["job_id"]
        body = assert_problem(api.upload(make_files(1)), 429, "staging_full")
        assert "retry_after_seconds" in body
        worker.embed(job_id)
        world.staging.remove(world.catalogue.jobs.get("default", job_id).staging)  # type: ignore[union-attr, arg-type]
        assert api.upload(make_files(1)).status_code == 202


def test_the_uploads_of_other_projects_do_not_count(world: World, make_files: MakeFiles) -> None:
    with serving(fresh(world)) as api:
        api.upload(make_files())
    with serving(fresh(world, max_staging_bytes=1, max_queued_jobs=1, project="other")) as api:
        assert api.upload(make_files()).status_code == 202


def test_a_body_that_would_fill_the_disk_is_refused_by_its_length(world: World) -> None:
    free = shutil.disk_usage(world.staging_dir).free
    with serving(world.app(min_free_bytes=free - 64 * MEBIBYTE)) as api:
        headers = {"Content-Type": "application/zip", "Content-Length": str(8 * GIBIBYTE)}
        assert_problem(api.post("/v1/series", content=b"x", headers=headers), 507, "storage_full")
        assert world.staged() == {}


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def packed(size: int) -> bytes:
    """A gzipped tar of one file of zeros."""
    output = BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        member = tarfile.TarInfo("a.dcm")
        member.size = size
        archive.addfile(member, BytesIO(bytes(size)))
    return output.getvalue()


def test_a_small_disk_is_never_filled(world: World, tmp_path: Path, make_files: MakeFiles) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        staging = disk / "staging"
        small = replace(world, staging=Staging(staging), staging_dir=staging)
        limits = {"staging_dir": staging, "min_free_bytes": 4 * MEBIBYTE, "project": "small"}
        free = shutil.disk_usage(disk).free
        with serving(small.app(**limits)) as api:
            # A length that is known is refused at once; one that is not, when so much has come.
            for content in (bytes(22 * MEBIBYTE), chunks(22)):
                least: list[int] = []
                content = watched(content, disk, least) if not isinstance(content, bytes) else content
                headers = {"Content-Type": "application/dicom"}
                assert_problem(api.post("/v1/series", content=content, headers=headers), 507, "storage_full")
                assert all(left >= 3 * MEBIBYTE for left in least)
                assert (small.staged(), shutil.disk_usage(disk).free) == ({}, free)
            # An archive that is small as sent, and fills the disk when it is unpacked.
            headers = {"Content-Type": "application/x-tar"}
            packed_bytes = packed(40 * MEBIBYTE)
            assert len(packed_bytes) < MEBIBYTE
            assert_problem(api.post("/v1/series", content=packed_bytes, headers=headers), 507, "storage_full")
            assert (small.staged(), shutil.disk_usage(disk).free) == ({}, free)
            assert api.upload(make_files()).status_code == 202, "there is room for what fits"
            (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free - 3 * MEBIBYTE))
            assert_problem(api.upload(make_files(1)), 507, "storage_full")


async def chunks(mebibytes: int) -> Any:
    for _ in range(mebibytes):
        yield bytes(MEBIBYTE)


async def watched(content: Any, disk: Path, least: list[int]) -> Any:
    async for chunk in content:
        yield chunk
        least.append(shutil.disk_usage(disk).free)


def test_a_silent_catalogue_is_asked_once_for_all_who_ask(world: World) -> None:
    asked: list[None] = []

    class Away:
        @property
        def backlog(self) -> Any:
            asked.append(None)
            raise CatalogueUnavailable("the database is away")

    admission = Admission(world.settings, Away(), StagedBytes(world.staging_dir), {})  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(CatalogueUnavailable):
            admission.check_queue(EMBED_KINDS)
    assert len(asked) == 1


def test_hundreds_of_questions_cost_one_count(world: World) -> None:
    asked: list[None] = []

    class Full:
        class backlog:  # noqa: N801 - stands for an attribute
            @staticmethod
            def queued(*_: object, at_most: int) -> int:
                asked.append(None)
                return at_most

            @staticmethod
            def seconds_a_job(*_: object) -> float:
                return 90.0

            @staticmethod
            def depths() -> list[object]:
                return []

    admission = Admission(world.settings, Full(), StagedBytes(world.staging_dir), {})  # type: ignore[arg-type]
    for _ in range(5):
        with pytest.raises(QueueFull) as refused:
            admission.check_queue(EMBED_KINDS)
    assert refused.value.headers == {"Retry-After": "60"}, "never longer than a minute"
    assert len(asked) == 1
