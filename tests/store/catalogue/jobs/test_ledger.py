from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slicebank_store.catalogue import Beat, Catalogue, NewJob
from slicebank_store.catalogue.jobs import MAX_ATTEMPTS
from slicebank_store.errors import NotCancellable, NotRetryable, UnknownJob
from slicebank_store.types import BagLevel, HeadState, JobKind, JobState, Priority

from ...builders import (
    LEASE_S,
    PROJECT,
    RECIPE,
    Clock,
    bag_of,
    claim,
    embed,
    head_of,
    outcome_of,
    prediction_of,
    series_of,
    submit,
    train,
)


def state_of(catalogue: Catalogue, job_id: str) -> JobState:
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    return job.state


def test_claiming(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    clock.advance(5)
    lease = claim(catalogue, job_id, worker="host:1")
    assert lease.job == catalogue.jobs.get(PROJECT, job_id)
    assert (lease.fence, lease.worker, lease.alone) == (1, "host:1", False)
    assert (lease.job.state, lease.job.attempts, lease.job.started_at) == (JobState.RUNNING, 1, clock.now)
    assert catalogue.jobs.claim(job_id, worker="host:2", lease_s=LEASE_S) is None
    assert catalogue.jobs.claim("0" * 32, worker="host:2", lease_s=LEASE_S) is None


def test_a_success_writes_bag_and_job_together(catalogue: Catalogue, clock: Clock) -> None:
    submitted = submit(catalogue)
    lease = claim(catalogue, submitted.job_id)
    catalogue.jobs.heartbeat(lease, lease_s=LEASE_S, done=2, total=4, unit="slices")
    clock.advance(3)
    bag = replace(bag_of(catalogue, lease), skipped=[{"slice_index": 1, "sop_instance_uid": "1", "detail": "d"}])
    assert catalogue.jobs.succeed(lease, {"bag_id": bag.bag_id}, stages={"decode_s": 1.5}, bag=bag)
    assert catalogue.bags.get(PROJECT, bag.bag_id) == bag
    job = catalogue.jobs.get(PROJECT, submitted.job_id)
    assert job is not None
    assert (job.state, job.result, job.stages) == (JobState.SUCCEEDED, {"bag_id": bag.bag_id}, {"decode_s": 1.5})
    assert (job.progress_done, job.progress_total, job.finished_at) == (4, 4, clock.now)
    assert catalogue.jobs.succeed(lease, {}, bag=bag), "it has"
    assert catalogue.jobs.get(PROJECT, submitted.job_id) == job, "the lease has served"
    assert catalogue.jobs.heartbeat(lease, lease_s=LEASE_S) is Beat.LOST


def test_heartbeats_renew_and_tell_progress(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    lease = claim(catalogue, job_id)
    for done in range(1, 5):
        clock.advance(LEASE_S - 1)
        assert catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9) == []
        beat = catalogue.jobs.heartbeat(
            lease, lease_s=LEASE_S, done=done, total=4, unit="slices", stages={"encode_s": 0.5}
        )
        assert beat is Beat.OK
    assert catalogue.jobs.heartbeat(lease, lease_s=LEASE_S) is Beat.OK, "progress is not forgotten"
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.progress_done, job.progress_total, job.progress_unit) == (4, 4, "slices")
    assert job.stages == {"encode_s": 0.5}


def test_a_lost_lease_commits_nothing(catalogue: Catalogue, clock: Clock) -> None:
    submitted = submit(catalogue)
    stale = claim(catalogue, submitted.job_id, "first")
    clock.advance(LEASE_S + 1)
    assert [due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=30)] == [submitted.job_id]
    assert catalogue.jobs.heartbeat(stale, lease_s=LEASE_S) is Beat.LOST
    fresh = claim(catalogue, submitted.job_id, "second")
    assert fresh.fence > stale.fence
    bag = bag_of(catalogue, stale)
    assert not catalogue.jobs.succeed(stale, {}, bag=bag, pixels_key="default/pixels/x")
    assert catalogue.bags.get(PROJECT, bag.bag_id) is None
    assert catalogue.jobs.fail(stale, "x", "y", retryable=False) is JobState.RUNNING
    catalogue.jobs.release(stale)
    catalogue.jobs.cancelled(stale)
    assert state_of(catalogue, submitted.job_id) is JobState.RUNNING
    assert catalogue.jobs.succeed(fresh, {}, bag=bag_of(catalogue, fresh))
    stored = catalogue.bags.get(PROJECT, bag.bag_id)
    assert stored is not None
    assert stored.blob_key.endswith(f"-{fresh.fence}.h5")


def test_three_failures_of_its_own_end_a_job(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    for attempt in range(1, MAX_ATTEMPTS):
        lease = claim(catalogue, job_id)
        assert lease.job.attempts == attempt
        assert catalogue.jobs.fail(lease, "internal_error", "Broke.", retryable=True) is JobState.QUEUED
        job = catalogue.jobs.get(PROJECT, job_id)
        assert job is not None
        assert job.error_code == "internal_error"
        assert catalogue.jobs.claim(job_id, worker="w", lease_s=LEASE_S) is None, "in its back-off"
        assert catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9) == []
        clock.advance(10)
        assert [due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9)] == [job_id]
    last = claim(catalogue, job_id)
    assert last.job.error_code is None
    assert catalogue.jobs.fail(last, "internal_error", "Broke.", retryable=True) is JobState.FAILED
    job = catalogue.jobs.get(PROJECT, job_id)
    assert job is not None
    assert (job.attempts, job.error_code, job.error_detail) == (3, "internal_error", "Broke.")
    assert job.finished_at == clock.now


def test_what_cannot_get_better_fails_at_once(catalogue: Catalogue) -> None:
    lease = claim(catalogue, submit(catalogue).job_id)
    assert catalogue.jobs.fail(lease, "decode_failed", "No.", retryable=False) is JobState.FAILED


def test_handing_back_is_not_an_attempt(catalogue: Catalogue) -> None:
    job_id = submit(catalogue).job_id
    for _ in range(5):
        catalogue.jobs.release(claim(catalogue, job_id))
    assert claim(catalogue, job_id).job.attempts == 1


def test_cancelling_a_queued_job(catalogue: Catalogue) -> None:
    job_id = submit(catalogue).job_id
    assert catalogue.jobs.request_cancel(PROJECT, job_id).state is JobState.CANCELLED
    assert catalogue.jobs.request_cancel(PROJECT, job_id).state is JobState.CANCELLED, "twice is no error"
    assert catalogue.jobs.claim(job_id, worker="w", lease_s=LEASE_S) is None


@pytest.mark.parametrize("ending", ["confirm", "fail", "release", "silence"])
def test_cancelling_a_running_job(catalogue: Catalogue, clock: Clock, ending: str) -> None:
    job_id = submit(catalogue).job_id
    lease = claim(catalogue, job_id)
    asked = catalogue.jobs.request_cancel(PROJECT, job_id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert catalogue.jobs.heartbeat(lease, lease_s=LEASE_S) is Beat.CANCEL
    if ending == "confirm":
        catalogue.jobs.cancelled(lease)
    elif ending == "fail":
        assert catalogue.jobs.fail(lease, "x", "y", retryable=True) is JobState.CANCELLED
    elif ending == "release":
        catalogue.jobs.release(lease)
    else:
        clock.advance(LEASE_S + 1)
        assert catalogue.jobs.sweep(clock.now, redispatch_after_s=30) == []
    assert state_of(catalogue, job_id) is JobState.CANCELLED


def test_what_has_ended_cannot_be_cancelled(catalogue: Catalogue) -> None:
    embed(catalogue)
    with pytest.raises(NotCancellable):
        catalogue.jobs.request_cancel(PROJECT, submit(catalogue).job_id)
    with pytest.raises(UnknownJob):
        catalogue.jobs.request_cancel(PROJECT, "0" * 32)
    with pytest.raises(UnknownJob):
        catalogue.jobs.request_cancel("other", submit(catalogue).job_id)


def test_retry_starts_afresh(catalogue: Catalogue, clock: Clock) -> None:
    job_id = submit(catalogue).job_id
    catalogue.jobs.fail(claim(catalogue, job_id), "decode_failed", "No.", retryable=False)
    job = catalogue.jobs.retry(PROJECT, job_id, staged=lambda upload: upload == "f" * 32)
    assert (job.state, job.attempts, job.error_code, job.finished_at) == (JobState.QUEUED, 0, None, None)
    assert [due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9)] == [job_id]
    lease = claim(catalogue, job_id)
    assert lease.fence == 2
    assert catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))


def test_what_cannot_be_retried(catalogue: Catalogue) -> None:
    job_id = submit(catalogue).job_id
    with pytest.raises(NotRetryable, match="queued"):
        catalogue.jobs.retry(PROJECT, job_id)
    catalogue.jobs.fail(claim(catalogue, job_id), "decode_failed", "No.", retryable=False)
    with pytest.raises(NotRetryable, match="no longer in staging"):
        catalogue.jobs.retry(PROJECT, job_id, staged=lambda _: False)
    twin = submit(catalogue)
    with pytest.raises(NotRetryable, match=twin.job_id):
        catalogue.jobs.retry(PROJECT, job_id)
    lease = claim(catalogue, twin.job_id)
    catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))
    with pytest.raises(NotRetryable, match="exists already"):
        catalogue.jobs.retry(PROJECT, job_id)
    catalogue.deletions.delete_series(PROJECT, "1.2.3")
    with pytest.raises(NotRetryable, match="deleted"):
        catalogue.jobs.retry(PROJECT, job_id)
    with pytest.raises(UnknownJob):
        catalogue.jobs.retry(PROJECT, "0" * 32)


def test_retry_from_kept_pixels_needs_no_staging(catalogue: Catalogue) -> None:
    embed(catalogue, retain=True)
    kept = catalogue.submissions.submit_kept(
        PROJECT, "1.2.3", recipe=replace(RECIPE, encoder="other"), level=BagLevel.SLICE, dim=8
    )
    catalogue.jobs.fail(claim(catalogue, kept.job_id), "x", "y", retryable=False)
    assert catalogue.jobs.retry(PROJECT, kept.job_id, staged=lambda _: False).state is JobState.QUEUED


def waiting_prediction(catalogue: Catalogue, job_id: str, bag_id: str) -> str:
    job = catalogue.jobs.create(
        NewJob(
            PROJECT,
            JobKind.PREDICT,
            bag_id=bag_id,
            head_id="a" * 32,
            prediction_id="b" * 32,
            series_uid="1.2.3",
            waits_for=job_id,
        )
    )
    return job.job_id


def test_a_waiting_job_goes_on_when_the_other_succeeds(catalogue: Catalogue, clock: Clock) -> None:
    first = submit(catalogue)
    assert first.bag_id is not None
    waiting = waiting_prediction(catalogue, first.job_id, first.bag_id)
    assert catalogue.jobs.claim(waiting, worker="w", lease_s=LEASE_S) is None
    assert [due.job_id for due in catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9)] == [first.job_id]
    lease = claim(catalogue, first.job_id)
    assert catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))
    due = catalogue.jobs.sweep(clock.now, redispatch_after_s=1e9)
    assert due == [(waiting, JobKind.PREDICT, Priority.INTERACTIVE)]
    assert claim(catalogue, waiting).job.waits_for is None


@pytest.mark.parametrize("ending", ["fail", "cancel"])
def test_a_waiting_job_fails_with_the_other(catalogue: Catalogue, ending: str) -> None:
    first = submit(catalogue)
    assert first.bag_id is not None
    waiting = waiting_prediction(catalogue, first.job_id, first.bag_id)
    if ending == "fail":
        catalogue.jobs.fail(claim(catalogue, first.job_id), "x", "y", retryable=False)
    else:
        catalogue.jobs.request_cancel(PROJECT, first.job_id)
    job = catalogue.jobs.get(PROJECT, waiting)
    assert job is not None
    assert (job.state, job.error_code) == (JobState.FAILED, "dependency_failed")
    assert first.job_id in (job.error_detail or "")


def test_waiting_for_a_job_that_has_ended(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    done = submit(catalogue).job_id
    waiting = catalogue.jobs.get(PROJECT, waiting_prediction(catalogue, done, bag.bag_id))
    assert waiting is not None
    assert (waiting.state, waiting.waits_for) == (JobState.QUEUED, None)
    other = submit(catalogue, series_of(series_uid="9"))
    catalogue.jobs.request_cancel(PROJECT, other.job_id)
    late = catalogue.jobs.create(NewJob(PROJECT, JobKind.PREDICT, prediction_id="c" * 32, waits_for=other.job_id))
    assert (late.state, late.error_code) == (JobState.FAILED, "dependency_failed")


def test_create_finds_the_twin(catalogue: Catalogue) -> None:
    new = NewJob(PROJECT, JobKind.PREDICT, prediction_id="c" * 32)
    first = catalogue.jobs.create(new)
    assert catalogue.jobs.create(NewJob(PROJECT, JobKind.PREDICT, prediction_id="c" * 32)) == first
    assert catalogue.jobs.create(NewJob("other", JobKind.PREDICT, prediction_id="c" * 32)) != first


def test_a_prediction_is_written_with_its_job(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    head_id = train(catalogue)
    prediction = prediction_of(head_id, bag)
    job = catalogue.jobs.create(
        NewJob(PROJECT, JobKind.PREDICT, prediction_id=prediction.prediction_id, head_id=head_id)
    )
    assert catalogue.jobs.latest_for_prediction(PROJECT, prediction.prediction_id) == job
    lease = claim(catalogue, job.job_id)
    assert catalogue.jobs.succeed(lease, {"prediction_id": prediction.prediction_id}, prediction=prediction)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) == prediction
    assert catalogue.predictions.get("other", prediction.prediction_id) is None


@pytest.mark.parametrize("gone", ["bag", "head"])
def test_a_prediction_about_something_deleted_is_refused(catalogue: Catalogue, gone: str) -> None:
    bag = embed(catalogue)
    head_id = train(catalogue)
    prediction = prediction_of(head_id, bag)
    job = catalogue.jobs.create(NewJob(PROJECT, JobKind.PREDICT, prediction_id=prediction.prediction_id))
    lease = claim(catalogue, job.job_id)
    if gone == "bag":
        catalogue.deletions.delete_bag(PROJECT, bag.bag_id)
    else:
        catalogue.deletions.delete_head(PROJECT, head_id)
    assert not catalogue.jobs.succeed(lease, {}, prediction=prediction)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) is None
    assert state_of(catalogue, job.job_id) is JobState.CANCELLED


@pytest.mark.parametrize("where", [{"revision": 2}, {"stack": 1}, {"series_uid": "9"}])
def test_a_bag_of_a_stack_that_is_not_there_is_refused(catalogue: Catalogue, where: dict[str, Any]) -> None:
    lease = claim(catalogue, submit(catalogue).job_id)
    bag = replace(bag_of(catalogue, lease), **where)
    assert not catalogue.jobs.succeed(lease, {}, bag=bag)
    assert catalogue.bags.get(PROJECT, bag.bag_id) is None
    assert state_of(catalogue, lease.job.job_id) is JobState.CANCELLED


def test_effects_are_all_or_nothing(catalogue: Catalogue) -> None:
    submitted = submit(catalogue)
    lease = claim(catalogue, submitted.job_id)
    bag = bag_of(catalogue, lease)
    assert not catalogue.jobs.succeed(lease, {}, bag=bag, head=outcome_of("a" * 32))
    assert catalogue.bags.get(PROJECT, bag.bag_id) is None


def test_the_head_follows_its_job(catalogue: Catalogue) -> None:
    head, job = catalogue.heads.create(head_of(), params={}, manifest={})

    def state() -> HeadState:
        found = catalogue.heads.get(PROJECT, head.head_id)
        assert found is not None
        return found.state

    assert state() is HeadState.TRAINING
    catalogue.jobs.fail(claim(catalogue, job.job_id), "x", "y", retryable=False)
    assert state() is HeadState.FAILED
    catalogue.jobs.retry(PROJECT, job.job_id)
    assert state() is HeadState.TRAINING
    catalogue.jobs.request_cancel(PROJECT, job.job_id)
    assert state() is HeadState.CANCELLED


def test_a_success_that_was_written_may_be_written_again_by_the_same_lease_alone(
    catalogue: Catalogue, clock: Clock
) -> None:
    lost = claim(catalogue, submit(catalogue).job_id)
    clock.advance(LEASE_S + 1)
    catalogue.jobs.sweep(clock.now, redispatch_after_s=30)
    lease = claim(catalogue, lost.job.job_id)
    bag = bag_of(catalogue, lease)
    for _ in range(2):
        assert catalogue.jobs.succeed(lease, {"bag_id": bag.bag_id}, bag=bag)
    assert not catalogue.jobs.succeed(lost, {}, bag=bag)
    assert len(catalogue.bags.list(PROJECT).items) == 1
