from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.groups import CaseFailure, GroupRecord
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.errors import BadCursor, UnknownGroup
from slicebank_store.types import JobKind, JobState, StudySource

from ..builders import PROJECT, Clock, bag_of, claim, series_of, stack_of, submit


def group_of(catalogue: Catalogue, *, cases: int = 3, key: str = "a" * 64) -> GroupRecord:
    return catalogue.groups.create(PROJECT, key=key, cases=cases)


def case_of(catalogue: Catalogue, group: GroupRecord, case: int, content: int | None = None) -> str:
    """Submits a series as a case; the id of its job."""
    number = case if content is None else content
    series = series_of(stack_of(range(4), content=f"c{number}"), series_uid=f"1.2.{number}", study_uid=f"1.{number}")
    return submit(catalogue, series, group=group.group_id, case=case).job_id


def succeed(catalogue: Catalogue, job_id: str) -> None:
    lease = claim(catalogue, job_id)
    assert catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))


def fail(catalogue: Catalogue, job_id: str) -> None:
    lease = claim(catalogue, job_id)
    assert catalogue.jobs.fail(lease, "decode_failed", "No slice decodes.", retryable=False) is JobState.FAILED


def progress(catalogue: Catalogue, group: GroupRecord) -> tuple[int, dict[str, int]]:
    found = catalogue.groups.progress(PROJECT, group.group_id)
    return found.cases_done, {state.value: count for state, count in found.jobs.items() if count}


def test_one_key_is_one_group_of_a_project(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    assert group_of(catalogue) == group
    assert catalogue.groups.create("other", key="a" * 64, cases=3).group_id != group.group_id
    assert catalogue.groups.get("other", group.group_id) is None
    assert group_of(catalogue, key="b" * 64) != group


def test_groups_are_listed_newest_first(catalogue: Catalogue, clock: Clock) -> None:
    made = []
    for number in range(5):
        made.append(group_of(catalogue, key=f"{number:064x}"))
        clock.advance(1)
    first = catalogue.groups.list(PROJECT, limit=3)
    rest = catalogue.groups.list(PROJECT, limit=3, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == made[::-1]
    assert rest.next_cursor is None
    assert catalogue.groups.list("other").items == []
    with pytest.raises(BadCursor):
        catalogue.groups.list(PROJECT, cursor="x")


def test_a_case_is_done_when_it_is_refused_or_all_its_jobs_are_final(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    assert progress(catalogue, group) == (0, {})
    one, other = case_of(catalogue, group, 0), case_of(catalogue, group, 0, content=10)
    assert progress(catalogue, group) == (0, {"queued": 2})
    succeed(catalogue, one)
    assert progress(catalogue, group) == (0, {"queued": 1, "succeeded": 1})
    succeed(catalogue, other)
    assert progress(catalogue, group) == (1, {"succeeded": 2})
    catalogue.groups.refuse(PROJECT, group.group_id, 1, "nothing_usable", "None of the 2 files can be used.")
    assert progress(catalogue, group) == (2, {"succeeded": 2})
    failed = case_of(catalogue, group, 2)
    claim(catalogue, failed)
    assert progress(catalogue, group) == (2, {"running": 1, "succeeded": 2})


def test_failures_are_told_by_case(catalogue: Catalogue) -> None:
    group = group_of(catalogue, cases=10)
    failed = case_of(catalogue, group, 4)
    fail(catalogue, failed)
    for case in (7, 2):
        catalogue.groups.refuse(PROJECT, group.group_id, case, "nothing_usable", f"Case {case}.")
    assert catalogue.groups.failures(PROJECT, group.group_id) == [
        CaseFailure(2, None, "nothing_usable", "Case 2."),
        CaseFailure(4, failed, "decode_failed", "No slice decodes."),
        CaseFailure(7, None, "nothing_usable", "Case 7."),
    ]
    assert [item.case for item in catalogue.groups.failures(PROJECT, group.group_id, limit=2)] == [2, 4]
    assert progress(catalogue, group)[0] == 3


def test_a_case_sent_again_stands_as_it_is_then(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    fail(catalogue, case_of(catalogue, group, 0))
    catalogue.groups.refuse(PROJECT, group.group_id, 1, "nothing_usable", "Nothing.")
    assert progress(catalogue, group) == (2, {"failed": 1})
    again = case_of(catalogue, group, 0)
    case_of(catalogue, group, 1)
    assert progress(catalogue, group) == (0, {"queued": 2})
    assert catalogue.groups.failures(PROJECT, group.group_id) == []
    succeed(catalogue, again)
    assert progress(catalogue, group) == (1, {"queued": 1, "succeeded": 1})


def test_another_series_of_a_case_does_not_hide_a_failure(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    fail(catalogue, case_of(catalogue, group, 0, content=10))
    case_of(catalogue, group, 0, content=11)
    assert progress(catalogue, group) == (0, {"failed": 1, "queued": 1})


def test_an_import_that_failed_gives_way_to_the_next_one(catalogue: Catalogue) -> None:
    group = group_of(catalogue)

    def pulled() -> str:
        params = {"source": StudySource.PACS.value}
        new = NewJob(PROJECT, JobKind.IMPORT, study_uid="1.5", params=params, staging="f" * 32)
        job = catalogue.jobs.create(new)
        catalogue.groups.join(PROJECT, group.group_id, 0, [job.job_id])
        return job.job_id

    fail(catalogue, pulled())
    pulled()
    assert progress(catalogue, group) == (0, {"queued": 1})


def test_a_job_of_two_cases_is_one_job_and_two_cases(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    job_id = case_of(catalogue, group, 0, content=5)
    assert case_of(catalogue, group, 1, content=5) == job_id
    assert progress(catalogue, group) == (0, {"queued": 1})
    succeed(catalogue, job_id)
    assert progress(catalogue, group) == (2, {"succeeded": 1})


def test_cancelling_ends_what_waits_and_asks_what_runs(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    done, queued, running = (case_of(catalogue, group, case) for case in range(3))
    outside = submit(catalogue, series_of(series_uid="9.9")).job_id
    succeed(catalogue, done)
    claim(catalogue, running)
    stopped = {item.job_id: item for item in catalogue.groups.cancel(PROJECT, group.group_id)}
    assert stopped.keys() == {queued, running}
    assert (stopped[queued].running, stopped[queued].staging) == (False, "f" * 32)
    assert stopped[running].running
    job = catalogue.jobs.get(PROJECT, running)
    assert job is not None
    assert job.cancel_requested
    assert progress(catalogue, group) == (2, {"succeeded": 1, "cancelled": 1, "running": 1})
    left = catalogue.jobs.get(PROJECT, outside)
    assert left is not None
    assert left.state is JobState.QUEUED
    assert [item.job_id for item in catalogue.groups.cancel(PROJECT, group.group_id)] == [running]


def test_retrying_queues_what_can_be_queued(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    jobs = [case_of(catalogue, group, case) for case in range(3)]
    fail(catalogue, jobs[0])
    catalogue.groups.cancel(PROJECT, group.group_id)
    assert progress(catalogue, group) == (3, {"failed": 1, "cancelled": 2})
    assert list(catalogue.groups.retry(PROJECT, group.group_id, staged=lambda _: False)) == []
    again = catalogue.groups.retry(PROJECT, group.group_id, staged=lambda _: True)
    assert {job.job_id for job in again} == set(jobs)
    assert all(job.state is JobState.QUEUED for job in again)
    assert progress(catalogue, group) == (0, {"queued": 3})


def test_a_series_that_is_deleted_keeps_nobody_waiting(catalogue: Catalogue) -> None:
    group = group_of(catalogue)
    case_of(catalogue, group, 0)
    catalogue.deletions.delete_series(PROJECT, "1.2.0")
    assert progress(catalogue, group)[0] == 1


def test_groups_that_are_not_there(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownGroup):
        catalogue.groups.join(PROJECT, "0" * 32, 0, [])
    with pytest.raises(UnknownGroup):
        catalogue.groups.refuse(PROJECT, "0" * 32, 0, "x", "y")
    assert catalogue.groups.cancel(PROJECT, "0" * 32) == []
    assert catalogue.groups.progress(PROJECT, "0" * 32).cases_done == 0
