from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue, JobRecord, NewJob
from slicebank_store.catalogue.jobs.claiming import BULK_PATIENCE_S
from slicebank_store.types import JobKind, Priority

from ...builders import LEASE_S, PROJECT, Clock, claim, series_of, submit


def job_of(catalogue: Catalogue, job_id: str) -> JobRecord:
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    return job


def positions(catalogue: Catalogue, *job_ids: str) -> list[int | None]:
    found = catalogue.jobs.standings([job_of(catalogue, job_id) for job_id in job_ids])
    return [found.get(job_id, (None, None))[0] for job_id in job_ids]


def eta(catalogue: Catalogue, job_id: str) -> float | None:
    return catalogue.jobs.standings([job_of(catalogue, job_id)])[job_id][1]


def train(catalogue: Catalogue, project: str = PROJECT) -> str:
    return catalogue.jobs.create(NewJob(project, JobKind.TRAIN)).job_id


def test_positions_are_the_order_in_which_jobs_are_claimed(catalogue: Catalogue, clock: Clock) -> None:
    old_bulk = submit(catalogue, series_of(series_uid="0"), priority=Priority.BULK).job_id
    clock.advance(BULK_PATIENCE_S + 1)
    bulk = submit(catalogue, series_of(series_uid="1"), priority=Priority.BULK).job_id
    clock.advance(1)
    first = submit(catalogue, series_of(series_uid="2")).job_id
    clock.advance(1)
    second = submit(catalogue, series_of(series_uid="3")).job_id
    trained = train(catalogue)
    order = [old_bulk, first, second, bulk]
    assert positions(catalogue, *order, trained) == [1, 2, 3, 4, 1]
    claimed = []
    while (lease := catalogue.jobs.claim_next("embed", worker="w", lease_s=LEASE_S)) is not None:
        claimed.append(lease.job.job_id)
    assert claimed == order
    assert positions(catalogue, *order, trained) == [None, None, None, None, 1]


def test_an_estimate_needs_something_to_judge_by(catalogue: Catalogue, clock: Clock) -> None:
    waiting = train(catalogue)
    assert eta(catalogue, waiting) is None
    lease = claim(catalogue, train(catalogue))
    clock.advance(10)
    catalogue.jobs.succeed(lease, {})
    assert catalogue.jobs.standings([job_of(catalogue, lease.job.job_id)]) == {}
    assert eta(catalogue, waiting) == pytest.approx(10)


def test_the_estimate_of_a_queued_job_counts_the_slices_ahead_and_the_hands_at_work(
    catalogue: Catalogue, clock: Clock
) -> None:
    done = claim(catalogue, submit(catalogue, series_of(series_uid="0")).job_id)
    slices = done.job.size
    assert slices
    clock.advance(2.0 * slices)
    catalogue.jobs.succeed(done, {})
    ids = []
    for number in range(1, 6):
        ids.append(submit(catalogue, series_of(series_uid=str(number))).job_id)
        clock.advance(1)
    for job_id in ids[:2]:
        claim(catalogue, job_id)
    # two seconds a slice and hand; two hands share the two series ahead of the last one
    assert eta(catalogue, ids[4]) == pytest.approx(2.0 * slices * (2 / 2 + 1))


def test_the_last_twenty_jobs_set_the_pace(catalogue: Catalogue, clock: Clock) -> None:
    for seconds in (1000, *[10, 20] * 10):
        lease = claim(catalogue, train(catalogue))
        clock.advance(seconds)
        catalogue.jobs.succeed(lease, {})
    assert eta(catalogue, train(catalogue)) == pytest.approx(15)


def test_a_job_that_waits_for_another_has_no_estimate(catalogue: Catalogue) -> None:
    first = train(catalogue)
    second = catalogue.jobs.create(NewJob(PROJECT, JobKind.PREDICT, waits_for=first))
    assert eta(catalogue, second.job_id) is None
