from __future__ import annotations

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.catalogue.jobs.claiming import BULK_PATIENCE_S, due_row
from slicebank_store.catalogue.jobs.lease import Beat
from slicebank_store.types import JobKind, JobState, Priority

from ...builders import LEASE_S, PROJECT, Clock, claim, series_of, submit


def next_of(catalogue: Catalogue, *priorities: Priority, queue: str = "embed") -> str | None:
    lease = catalogue.jobs.claim_next(queue, worker="w", lease_s=LEASE_S, priorities=priorities or tuple(Priority))
    return None if lease is None else lease.job.job_id


def bulk(catalogue: Catalogue, uid: str) -> str:
    return submit(catalogue, series_of(series_uid=uid), priority=Priority.BULK).job_id


def interactive(catalogue: Catalogue, uid: str) -> str:
    return submit(catalogue, series_of(series_uid=uid)).job_id


def test_nothing_is_due_in_an_empty_queue(catalogue: Catalogue) -> None:
    assert next_of(catalogue) is None
    bulk(catalogue, "1")
    assert next_of(catalogue, queue="train") is None
    assert next_of(catalogue, Priority.INTERACTIVE) is None


def test_bulk_does_not_starve_beside_endless_interactive_jobs(catalogue: Catalogue, clock: Clock) -> None:
    waiting = bulk(catalogue, "bulk")
    taken, seconds = [], 0.0
    while waiting not in taken:
        interactive(catalogue, f"{len(taken)}.1")
        clock.advance(60)
        seconds += 60
        job_id = next_of(catalogue)
        assert job_id is not None
        taken.append(job_id)
    assert BULK_PATIENCE_S <= seconds <= BULK_PATIENCE_S + 120


def test_a_job_in_its_back_off_or_behind_another_is_passed_over(catalogue: Catalogue, clock: Clock) -> None:
    first, second = interactive(catalogue, "1"), interactive(catalogue, "2")
    lease = claim(catalogue, first)
    assert catalogue.jobs.postpone(lease, "blobs_unavailable", "S3 is away.", wait_s=10) is JobState.QUEUED
    assert next_of(catalogue) == second
    assert next_of(catalogue) is None
    clock.advance(11)
    assert next_of(catalogue) == first


def test_imports_and_embeds_share_a_queue(catalogue: Catalogue, clock: Clock) -> None:
    kept = catalogue.jobs.create(NewJob(PROJECT, JobKind.IMPORT, series_uid="9")).job_id
    clock.advance(1)
    made = interactive(catalogue, "1")
    assert [next_of(catalogue), next_of(catalogue)] == [kept, made]


def test_postponing_counts_no_attempt_however_often(catalogue: Catalogue, clock: Clock) -> None:
    job_id = interactive(catalogue, "1")
    for _ in range(50):
        assert (
            catalogue.jobs.postpone(claim(catalogue, job_id), "disk_full", "Free space.", wait_s=5) is JobState.QUEUED
        )
        clock.advance(6)
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.attempts, job.lost_leases, job.error_code, job.error_detail) == (0, 0, "disk_full", "Free space.")
    assert claim(catalogue, job_id).job.error_code is None


def test_postponing_a_job_that_is_to_be_cancelled_ends_it(catalogue: Catalogue) -> None:
    lease = claim(catalogue, interactive(catalogue, "1"))
    catalogue.jobs.request_cancel(PROJECT, lease.job.job_id)
    assert catalogue.jobs.postpone(lease, "disk_full", "Free space.", wait_s=5) is JobState.CANCELLED


def test_who_lost_the_lease_cannot_postpone(catalogue: Catalogue, clock: Clock) -> None:
    lost = claim(catalogue, interactive(catalogue, "1"))
    clock.advance(LEASE_S + 1)
    catalogue.jobs.sweep(clock.now, redispatch_after_s=30)
    held = claim(catalogue, lost.job.job_id)
    assert catalogue.jobs.postpone(lost, "disk_full", "Free space.", wait_s=5) is JobState.RUNNING
    assert catalogue.jobs.heartbeat(held, lease_s=LEASE_S) is Beat.OK


def test_who_asks_while_another_takes_a_job_gets_the_next(postgres_url: str, clock: Clock) -> None:
    catalogue = Catalogue.open(postgres_url, clock=clock)
    try:
        waiting = bulk(catalogue, "1")
        clock.advance(1)
        wanted = interactive(catalogue, "2")
        with catalogue._database.write() as connection:
            row = due_row(connection, [JobKind.EMBED], tuple(Priority), clock.now)
            assert row is not None
            assert row["job_id"] == wanted
            assert next_of(catalogue) == waiting, "only the job that is taken is locked"
    finally:
        catalogue.close()
