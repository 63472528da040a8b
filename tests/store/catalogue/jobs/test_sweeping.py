from __future__ import annotations

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.catalogue.jobs import LOST_LEASE_LIMIT
from slicebank_store.catalogue.jobs.lease import Beat
from slicebank_store.catalogue.jobs.sweeping import CLOCK_SLACK_S, IDLE_GRACE_S, MAX_DISPATCH_FACTOR, MAX_WAKE_UPS
from slicebank_store.types import JobKind, JobState, Priority

from ...builders import LEASE_S, PROJECT, Clock, claim, series_of, submit

AFTER_S = 30.0


def sweep(catalogue: Catalogue, clock: Clock) -> list[str]:
    return [due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=AFTER_S)]


def lose(catalogue: Catalogue, clock: Clock, job_id: str, *, done: int | None = None) -> None:
    """One run whose worker falls silent after some progress."""
    lease = claim(catalogue, job_id)
    catalogue.jobs.heartbeat(lease, lease_s=LEASE_S, done=done)
    clock.advance(LEASE_S + 1)
    sweep(catalogue, clock)


def test_a_job_never_announced_is_due_at_once(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    assert sweep(catalogue, clock) == [job_id]
    assert sweep(catalogue, clock) == []


def test_an_announced_job_is_due_later_and_later(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    catalogue.jobs.mark_dispatched(job_id)
    waits = []
    for _ in range(8):
        start = clock.now
        while sweep(catalogue, clock) == []:
            clock.advance(AFTER_S / 2)
        waits.append((clock.now - start) / AFTER_S)
    assert waits == [1, 2, 4, 8, 16, 32, 32, 32]
    assert max(waits) == MAX_DISPATCH_FACTOR


def test_what_could_not_be_sent_is_due_again(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    for _ in range(5):
        assert sweep(catalogue, clock) == [job_id]
        catalogue.jobs.undelivered(job_id)
    assert sweep(catalogue, clock) == [job_id]
    clock.advance(AFTER_S)
    assert sweep(catalogue, clock) == [job_id], "the pause did not grow"


def test_interactive_jobs_go_first(catalogue: Catalogue, clock: Clock) -> None:
    bulk = submit(catalogue, series_of(series_uid="1"), priority=Priority.BULK).job_id
    clock.advance(1)
    late = submit(catalogue, series_of(series_uid="2")).job_id
    assert sweep(catalogue, clock) == [late, bulk]


def test_a_silent_worker_loses_its_job_without_counting_an_attempt(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    lose(catalogue, clock, job_id)
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.state, job.attempts, job.lost_leases, job.runs_alone) == (JobState.QUEUED, 0, 1, False)
    lose(catalogue, clock, job_id)
    lease = claim(catalogue, job_id)
    assert (lease.alone, lease.job.lost_leases, lease.job.attempts) == (True, 2, 1)


def test_ten_losses_without_progress_end_a_job(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    for _ in range(LOST_LEASE_LIMIT):
        lose(catalogue, clock, job_id)
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.state, job.error_code) == (JobState.FAILED, "lease_lost")
    assert sweep(catalogue, clock) == []


def test_progress_beyond_any_run_before_clears_the_losses(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    for done in range(1, 2 * LOST_LEASE_LIMIT):
        lose(catalogue, clock, job_id, done=done)
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.state, job.lost_leases) == (JobState.QUEUED, 1)


def test_dying_at_the_same_place_is_no_progress(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    for _ in range(LOST_LEASE_LIMIT + 1):
        job = catalogue.jobs.get(PROJECT, job_id)
        assert job is not None
        if job.state is JobState.FAILED:
            return
        lose(catalogue, clock, job_id, done=100)
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert job.state is JobState.FAILED


def test_final_jobs_are_left_alone(catalogue: Catalogue, clock: Clock) -> None:
    job = catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN))
    catalogue.jobs.succeed(claim(catalogue, job.job_id), {})
    clock.advance(1e6)
    assert sweep(catalogue, clock) == []
    catalogue.jobs.mark_dispatched(job.job_id)
    catalogue.jobs.undelivered(job.job_id)
    found = catalogue.jobs.get(PROJECT, job.job_id)
    assert found is not None
    assert found.state is JobState.SUCCEEDED


def test_jobs_whose_messages_the_broker_lost_are_sent_again_soon(catalogue: Catalogue, clock: Clock) -> None:
    ids = [submit(catalogue, series_of(series_uid=str(number))).job_id for number in range(3)]
    trained = catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id
    for job_id in (*ids, trained):
        catalogue.jobs.mark_dispatched(job_id)

    def swept(*idle: str) -> set[str]:
        return {due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=AFTER_S, idle=idle)}

    assert swept("embed", "train") == set(), "they may be in a worker's hands already"
    clock.advance(IDLE_GRACE_S)
    assert swept() == set()
    assert swept("embed") == set(ids)
    assert swept("embed") == set()
    clock.advance(IDLE_GRACE_S)
    assert swept("embed", "train") == {*ids, trained}


def test_an_empty_queue_gets_a_few_messages_and_not_one_a_job(catalogue: Catalogue, clock: Clock) -> None:
    for number in range(MAX_WAKE_UPS + 5):
        catalogue.jobs.mark_dispatched(submit(catalogue, series_of(series_uid=str(number))).job_id)
    clock.advance(IDLE_GRACE_S)
    assert len(catalogue.jobs.sweep(clock.now, redispatch_after_s=AFTER_S, idle=["embed"])) == MAX_WAKE_UPS


def test_a_clock_set_back_by_an_hour_leaves_no_job_behind(catalogue: Catalogue, clock: Clock) -> None:
    held = claim(catalogue, submit(catalogue, series_of(series_uid="1")).job_id)
    announced = submit(catalogue, series_of(series_uid="2")).job_id
    catalogue.jobs.mark_dispatched(announced)
    waiting = claim(catalogue, submit(catalogue, series_of(series_uid="3")).job_id)
    catalogue.jobs.postpone(waiting, "disk_full", "Free space.", wait_s=30)
    clock.advance(-3600)
    assert waiting.job.job_id in sweep(catalogue, clock)
    assert claim(catalogue, waiting.job.job_id).fence == waiting.fence + 1
    clock.advance(CLOCK_SLACK_S + 1)
    swept = sweep(catalogue, clock)
    assert held.job.job_id in swept, "its worker is dead"
    assert announced in swept


def test_a_clock_set_back_takes_no_job_from_a_living_worker(catalogue: Catalogue, clock: Clock) -> None:
    held = claim(catalogue, submit(catalogue).job_id)
    clock.advance(-3600)
    for _ in range(100):
        assert sweep(catalogue, clock) == []
        assert catalogue.jobs.heartbeat(held, lease_s=LEASE_S) is Beat.OK
        clock.advance(LEASE_S / 3)


def test_a_sweeper_whose_clock_is_an_hour_ahead_takes_back_what_is_silent_and_nothing_else(
    catalogue: Catalogue, clock: Clock
) -> None:
    alive = claim(catalogue, submit(catalogue, series_of(series_uid="1")).job_id)
    dead = claim(catalogue, submit(catalogue, series_of(series_uid="2")).job_id)
    ahead = clock.now + 3600
    assert catalogue.jobs.sweep(ahead, redispatch_after_s=AFTER_S, silent=[]) == []
    judged = catalogue.jobs.held()
    assert {lease.job_id for lease in judged} == {alive.job.job_id, dead.job.job_id}
    clock.advance(1)
    assert catalogue.jobs.heartbeat(alive, lease_s=LEASE_S) is Beat.OK
    due = catalogue.jobs.sweep(ahead, redispatch_after_s=AFTER_S, silent=judged)
    assert [job.job_id for job in due] == [dead.job.job_id], "the other was renewed since it was judged"
    assert catalogue.jobs.heartbeat(alive, lease_s=LEASE_S) is Beat.OK
    assert catalogue.jobs.heartbeat(dead, lease_s=LEASE_S) is Beat.LOST
