from __future__ import annotations

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.catalogue.backlog import QueueDepth
from slicebank_store.types import JobKind, JobState, Priority

from ..builders import PROJECT, Clock, claim

EMBED = (JobKind.EMBED, JobKind.IMPORT)


def make(
    catalogue: Catalogue,
    kind: JobKind = JobKind.EMBED,
    *,
    project: str = PROJECT,
    priority: Priority = Priority.BULK,
    staging: str | None = None,
) -> str:
    return catalogue.jobs.create(NewJob(project, kind, priority=priority, staging=staging)).job_id


def test_depths_are_of_all_projects_by_kind_priority_and_state(catalogue: Catalogue, clock: Clock) -> None:
    assert catalogue.backlog.depths() == []
    first = clock.now
    make(catalogue)
    clock.advance(5)
    make(catalogue, project="other")
    running = make(catalogue, JobKind.TRAIN, priority=Priority.INTERACTIVE)
    claim(catalogue, running)
    make(catalogue, JobKind.PREDICT)
    done = claim(catalogue, make(catalogue, JobKind.TRAIN))
    catalogue.jobs.fail(done, "x", "It failed.", retryable=False)
    bulk, queued = Priority.BULK, JobState.QUEUED
    assert catalogue.backlog.depths() == [
        QueueDepth(JobKind.EMBED, bulk, queued, 2, first),
        QueueDepth(JobKind.PREDICT, bulk, queued, 1, clock.now),
        QueueDepth(JobKind.TRAIN, Priority.INTERACTIVE, JobState.RUNNING, 1, clock.now),
    ]


def test_the_queue_of_a_project_is_counted_up_to_a_limit(catalogue: Catalogue) -> None:
    for _ in range(3):
        make(catalogue)
    make(catalogue, JobKind.IMPORT)
    make(catalogue, JobKind.TRAIN)
    make(catalogue, project="other")
    assert catalogue.backlog.queued(PROJECT, EMBED, at_most=100) == 4
    assert catalogue.backlog.queued(PROJECT, (JobKind.TRAIN,), at_most=100) == 1
    assert catalogue.backlog.queued(PROJECT, EMBED, at_most=2) == 2


def test_uploads_of_unfinished_jobs_are_named(catalogue: Catalogue) -> None:
    mine, gone, other = "1" * 32, "2" * 32, "3" * 32
    make(catalogue, staging=mine)
    make(catalogue, staging=mine)
    make(catalogue, staging=other, project="other")
    lease = claim(catalogue, make(catalogue, staging=gone))
    catalogue.jobs.fail(lease, "x", "It failed.", retryable=False)
    assert catalogue.backlog.staged(PROJECT) == {mine}


def test_seconds_a_job_are_the_mean_of_the_last_ones(catalogue: Catalogue, clock: Clock) -> None:
    assert catalogue.backlog.seconds_a_job(PROJECT, (JobKind.PREDICT,)) is None
    for seconds in (1000, *(10, 20) * 10):
        lease = claim(catalogue, make(catalogue, JobKind.PREDICT))
        clock.advance(seconds)
        assert catalogue.jobs.succeed(lease, {})
    assert catalogue.backlog.seconds_a_job(PROJECT, (JobKind.PREDICT,)) == 15
    assert catalogue.backlog.seconds_a_job(PROJECT, EMBED) is None
