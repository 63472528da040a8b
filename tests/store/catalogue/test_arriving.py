from __future__ import annotations

from typing import Any

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.arriving import LONGEST_S
from slicebank_store.catalogue.jobs import Lease, NewJob
from slicebank_store.types import JobKind, JobState

from ..builders import LEASE_S, PROJECT, Clock

QUIET_S = 30.0


def arrival(clock: Clock, study_uid: str = "1.2", **changes: Any) -> NewJob:
    values: dict[str, Any] = {
        "project": PROJECT,
        "kind": JobKind.IMPORT,
        "study_uid": study_uid,
        "params": {"source": "arrival"},
        "staging": "a" * 32,
        "not_before": clock() + QUIET_S,
        "arrival": True,
    }
    return NewJob(**(values | changes))


def claim_next(catalogue: Catalogue) -> Lease | None:
    return catalogue.jobs.claim_next(JobKind.IMPORT.queue, worker="w", lease_s=LEASE_S)


def test_a_study_is_due_when_nothing_has_come_for_a_while(catalogue: Catalogue, clock: Clock) -> None:
    first = catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    clock.advance(QUIET_S - 1)
    again = catalogue.arriving.expect(arrival(clock, staging="b" * 32), quiet_s=QUIET_S)
    assert (again.job_id, again.staging) == (first.job_id, first.staging)
    clock.advance(QUIET_S - 1)
    assert claim_next(catalogue) is None, "put off by what came"
    clock.advance(1)
    lease = claim_next(catalogue)
    assert lease is not None
    assert lease.job.job_id == first.job_id


def test_a_study_that_never_rests_is_due_all_the_same(catalogue: Catalogue, clock: Clock) -> None:
    catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    for _ in range(int(LONGEST_S // 20)):
        clock.advance(20)
        catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    assert claim_next(catalogue) is not None


def test_what_comes_after_a_job_was_closed_makes_another(catalogue: Catalogue, clock: Clock) -> None:
    first = catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    clock.advance(QUIET_S)
    lease = claim_next(catalogue)
    assert lease is not None
    assert catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S).job_id == first.job_id, "still open"
    assert catalogue.arriving.close(lease)
    second = catalogue.arriving.expect(arrival(clock, staging="b" * 32), quiet_s=QUIET_S)
    assert second.job_id != first.job_id
    assert second.staging == "b" * 32


def test_who_lost_the_lease_closes_nothing(catalogue: Catalogue, clock: Clock) -> None:
    first = catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    clock.advance(QUIET_S)
    lease = claim_next(catalogue)
    assert lease is not None
    catalogue.jobs.release(lease)
    assert not catalogue.arriving.close(lease)
    assert catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S).job_id == first.job_id


def test_studies_do_not_share_jobs(catalogue: Catalogue, clock: Clock) -> None:
    jobs = {catalogue.arriving.expect(arrival(clock, uid), quiet_s=QUIET_S).job_id for uid in ("1.2", "1.3", "1.2")}
    assert len(jobs) == 2
    listed = catalogue.jobs.list(PROJECT, study_uid="1.3").items
    assert [job.study_uid for job in listed] == ["1.3"]


def test_hurrying_makes_a_study_due_and_changes_what_is_asked(catalogue: Catalogue, clock: Clock) -> None:
    assert catalogue.arriving.hurry(PROJECT, "1.2") is None
    made = catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    hurried = catalogue.arriving.hurry(PROJECT, "1.2", {"source": "arrival", "request": {"dim": 1}})
    assert hurried is not None
    assert (hurried.job_id, hurried.params["request"]) == (made.job_id, {"dim": 1})
    lease = claim_next(catalogue)
    assert lease is not None
    assert lease.job.state is JobState.RUNNING
    assert catalogue.arriving.hurry(PROJECT, "1.2") is None, "it runs"


def test_a_failed_arrival_can_be_retried(catalogue: Catalogue, clock: Clock) -> None:
    made = catalogue.arriving.expect(arrival(clock), quiet_s=QUIET_S)
    clock.advance(QUIET_S)
    lease = claim_next(catalogue)
    assert lease is not None
    assert catalogue.arriving.close(lease)
    catalogue.jobs.fail(lease, "nothing_usable", "Nothing.", retryable=False)
    again = catalogue.jobs.retry(PROJECT, made.job_id, staged=lambda upload_id: upload_id == made.staging)
    assert again.state is JobState.QUEUED
