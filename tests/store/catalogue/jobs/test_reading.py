from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.errors import UnknownJob
from slicebank_store.types import JobKind, JobState

from ...builders import PROJECT, Clock, claim, series_of, submit


def test_lists_are_filtered(catalogue: Catalogue, clock: Clock) -> None:
    first = submit(catalogue, series_of(series_uid="1")).job_id
    clock.advance(1)
    second = submit(catalogue, series_of(series_uid="2")).job_id
    clock.advance(1)
    trained = catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id
    claim(catalogue, second)

    def ids(**filters: object) -> list[str]:
        return [job.job_id for job in catalogue.jobs.list(PROJECT, **filters).items]  # type: ignore[arg-type]

    assert ids() == [trained, second, first]
    assert ids(state=JobState.RUNNING) == [second]
    assert ids(kind=JobKind.TRAIN) == [trained]
    assert ids(series_uid="1") == [first]
    assert ids(series_uid="1", state=JobState.RUNNING) == []
    assert catalogue.jobs.list("other").items == []


def test_jobs_of_a_bag(catalogue: Catalogue, clock: Clock) -> None:
    first = submit(catalogue)
    assert first.bag_id is not None
    catalogue.jobs.request_cancel(PROJECT, first.job_id)
    assert catalogue.jobs.active_for_bag(PROJECT, first.bag_id) is None
    latest = catalogue.jobs.latest_for_bag(PROJECT, first.bag_id)
    assert latest is not None
    assert latest.job_id == first.job_id
    clock.advance(1)
    second = submit(catalogue)
    for found in (
        catalogue.jobs.active_for_bag(PROJECT, first.bag_id),
        catalogue.jobs.latest_for_bag(PROJECT, first.bag_id),
    ):
        assert found is not None
        assert found.job_id == second.job_id


def test_staging_in_use(catalogue: Catalogue, clock: Clock) -> None:
    uploads = {name: name * 32 for name in "abcde"}
    jobs = {
        name: submit(catalogue, series_of(series_uid=name), staging=upload).job_id for name, upload in uploads.items()
    }
    claim(catalogue, jobs["b"])
    catalogue.jobs.fail(claim(catalogue, jobs["c"]), "x", "y", retryable=False)
    catalogue.jobs.request_cancel(PROJECT, jobs["d"])
    catalogue.jobs.succeed(claim(catalogue, jobs["e"]), {})
    assert catalogue.jobs.staging_in_use(failed_within_s=100) == {uploads[name] for name in "abc"}
    clock.advance(101)
    assert catalogue.jobs.staging_in_use(failed_within_s=100) == {uploads[name] for name in "ab"}
    assert [catalogue.jobs.staging_needed(PROJECT, uploads[name]) for name in "abcde"] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_manifest_of_an_unknown_job(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownJob):
        catalogue.jobs.manifest("0" * 32)
