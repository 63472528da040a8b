"""What every job needs is away for a while: nothing is lost, nothing is counted, and little is done again."""

from __future__ import annotations

import errno
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from slicebank_store.errors import BlobsFull, BlobsUnavailable, CatalogueUnavailable
from slicebank_store.types import JobState
from slicebank_worker.jobs.outcome import run_jobs
from slicebank_worker.leases import Hold
from slicebank_worker.roles import open_role
from slicebank_worker.runtime import Role
from tests.worker.conftest import Workshop
from tests.worker.test_jobs import phantom


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BlobsUnavailable("S3 is away"), "blobs_unavailable"),
        (BlobsFull("no room"), "blobs_full"),
        (CatalogueUnavailable("restarting"), "catalogue_unavailable"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (
            OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
            "disk_full",
        ),
    ],
)
def test_a_shortage_postpones_a_job_and_counts_no_attempt(
    workshop: Workshop, tmp_path: Path, error: Exception, code: str
) -> None:
    series = workshop.upload(phantom(tmp_path, n_slices=3), encoder="dummy")
    embed = workshop.runners[Role.EMBED]
    tries: list[int] = []

    def work(hold: Hold) -> bool:
        tries.append(hold.lease.job.attempts)
        if len(tries) <= 5:  # more often than a job may fail
            raise error
        return embed(hold)

    for _ in range(5):
        run_jobs(workshop.runtime, "embed", work)
        job = workshop.job(series["job_id"])
        assert (job.state, job.error_code, job.attempts, job.lost_leases) == (JobState.QUEUED, code, 0, 0)
        assert job.error_detail
        run_jobs(workshop.runtime, "embed", work)  # not due yet
        wait_until_due(workshop)
    run_jobs(workshop.runtime, "embed", work)
    assert tries == [1] * 6
    job = workshop.job(series["job_id"])
    assert (job.state, job.error_code, job.attempts) == (JobState.SUCCEEDED, None, 1)


def wait_until_due(workshop: Workshop) -> None:
    threading.Event().wait(workshop.runtime.settings.postpone_seconds)


def test_a_disk_that_fills_up_under_a_bag_postpones_the_job(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path, n_slices=24), encoder="dummy")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a full disk needs the right to mount a small one")
    try:
        runtime = replace(workshop.runtime, scratch=small)
        with open_role(runtime, Role.EMBED) as role:
            run_jobs(runtime, "embed", role.runner)
        job = workshop.job(series["job_id"])
        assert (job.state, job.error_code, job.attempts) == (JobState.QUEUED, "disk_full", 0)
        assert not list(small.iterdir())
        assert not list(workshop.world.blobs.keys())
    finally:
        subprocess.run(["umount", str(small)], check=True)
    wait_until_due(workshop)
    assert workshop.run(series["job_id"]).state is JobState.SUCCEEDED


def test_a_catalogue_that_restarts_while_a_bag_is_committed_costs_no_work(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = workshop.upload(phantom(tmp_path, n_slices=3), encoder="dummy")
    jobs = workshop.world.catalogue.jobs
    succeed = jobs.succeed
    tries: list[bool] = []

    def interrupted(*arguments: object, **options: object) -> bool:
        tries.append(True)
        if len(tries) == 1:
            raise CatalogueUnavailable("it is starting")
        written = succeed(*arguments, **options)  # type: ignore[arg-type]
        if len(tries) == 2:
            raise CatalogueUnavailable("the connection was lost after the commit")
        return written

    monkeypatch.setattr(jobs, "succeed", interrupted)
    job = workshop.run(series["job_id"])
    assert (job.state, job.attempts, len(tries)) == (JobState.SUCCEEDED, 1, 3)
    assert workshop.api.get(f"/v1/bags/{series['bag_id']}/file").status_code == 200


def test_a_store_that_is_away_when_a_bag_is_done_costs_no_work(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = workshop.upload(phantom(tmp_path, n_slices=3), encoder="dummy")
    put = workshop.world.blobs.put_file
    away = iter([BlobsUnavailable("S3 is away"), BlobsFull("no room")])

    def put_file(key: str, path: Path) -> int:
        for error in away:
            raise error
        return put(key, path)

    monkeypatch.setattr(workshop.world.blobs, "put_file", put_file)
    job = workshop.run(series["job_id"])
    assert (job.state, job.attempts, job.error_code) == (JobState.SUCCEEDED, 1, None)


def test_a_job_that_waits_for_the_store_can_be_cancelled(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = workshop.upload(phantom(tmp_path, n_slices=3), encoder="dummy")

    def put_file(_key: str, _path: Path) -> int:
        assert workshop.api.post(f"/v1/jobs/{series['job_id']}/cancel").status_code in (200, 409)
        raise BlobsUnavailable("S3 is away")

    monkeypatch.setattr(workshop.world.blobs, "put_file", put_file)
    assert workshop.run(series["job_id"]).state is JobState.CANCELLED
    assert workshop.world.staged() == {}


def test_an_upload_whose_commit_was_not_answered_keeps_its_files_for_its_job(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions = workshop.world.catalogue.submissions
    submit = submissions.submit_series

    def cut(*arguments: object, **options: object) -> object:
        submit(*arguments, **options)  # type: ignore[arg-type]
        raise CatalogueUnavailable("the connection was lost while committing")

    files = phantom(tmp_path, n_slices=3)
    with monkeypatch.context() as patch:
        patch.setattr(submissions, "submit_series", cut)
        assert workshop.api.upload(files, encoder="dummy").status_code == 503
    series = workshop.upload(files, encoder="dummy")
    assert workshop.run(series["job_id"]).state is JobState.SUCCEEDED
    assert len(workshop.world.catalogue.jobs.list("default").items) == 1
