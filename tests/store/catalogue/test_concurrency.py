"""Several processes and many threads on one real database."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from slicebank_store.catalogue import Beat, Catalogue, Lease, NewJob
from slicebank_store.types import JobKind, JobState

from ..builders import LEASE_S, PROJECT, Clock, bag_of, claim, request_of, series_of, stack_of, submit

T = TypeVar("T")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Runs work on threads that begin at the same moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_threads_that_submit_one_series_get_one_job(catalogue: Catalogue) -> None:
    submitted = together(12, lambda number: submit(catalogue, staging=f"{number:032x}"))
    assert len({one.job_id for one in submitted}) == 1
    assert sum(one.created for one in submitted) == 1
    assert {one.revision for one in submitted} == {1}
    assert len(catalogue.jobs.list(PROJECT).items) == 1


def test_threads_that_submit_parts_of_one_series_lose_nothing(catalogue: Catalogue) -> None:
    parts = [series_of(stack_of(range(number, number + 3))) for number in range(10)]
    submitted = together(10, lambda number: submit(catalogue, parts[number]))
    assert sorted(one.revision for one in submitted) == list(range(1, 11))
    assert len({one.bag_id for one in submitted}) == 10


def test_of_many_workers_exactly_one_gets_each_job(catalogue: Catalogue) -> None:
    jobs = [catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id for _ in range(10)]

    def work(number: int) -> list[Lease | None]:
        order = jobs[number:] + jobs[:number]
        return [catalogue.jobs.claim(job_id, worker=f"w{number}", lease_s=60) for job_id in order]

    won = [lease.job.job_id for leases in together(10, work) for lease in leases if lease is not None]
    assert sorted(won) == sorted(jobs)
    assert all(job.fence == 1 for job in catalogue.jobs.list(PROJECT).items)


def test_of_many_who_end_one_job_exactly_one_does(catalogue: Catalogue) -> None:
    submitted = submit(catalogue)
    lease = claim(catalogue, submitted.job_id)
    bag = bag_of(catalogue, lease)
    ended = together(8, lambda _: catalogue.jobs.succeed(lease, {}, bag=bag))
    assert Counter(ended) == {True: 1, False: 7}


def test_sweepers_announce_each_job_once(catalogue: Catalogue, clock: Clock) -> None:
    jobs = [catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id for _ in range(30)]
    for job_id in jobs[:10]:
        claim(catalogue, job_id)
    clock.advance(LEASE_S + 1)
    due = [
        job.job_id
        for found in together(6, lambda _: catalogue.jobs.sweep(clock.now, redispatch_after_s=30))
        for job in found
    ]
    assert sorted(due) == sorted(jobs)
    assert all(job.lost_leases == (job.job_id in jobs[:10]) for job in catalogue.jobs.list(PROJECT).items)


def test_a_deletion_against_a_worker_that_ends(catalogue: Catalogue) -> None:
    for number in range(10):
        uid = f"1.{number}"
        lease = claim(catalogue, submit(catalogue, series_of(series_uid=uid)).job_id)
        bag = bag_of(catalogue, lease)

        def act(which: int, uid: str = uid, lease: Lease = lease, bag: object = bag) -> object:
            if which:
                return catalogue.deletions.delete_series(PROJECT, uid)
            return catalogue.jobs.succeed(lease, {}, bag=bag)  # type: ignore[arg-type]

        together(2, act)
        assert catalogue.series.get(PROJECT, uid) is None
        assert catalogue.bags.list(PROJECT, series_uid=uid).items == []


def test_beats_submissions_and_readers_side_by_side(catalogue: Catalogue) -> None:
    leases = [claim(catalogue, catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id) for _ in range(4)]

    def act(number: int) -> bool:
        if number < 4:
            beats = [catalogue.jobs.heartbeat(leases[number], lease_s=60, done=done, total=20) for done in range(1, 21)]
            return beats == [Beat.OK] * 20
        if number < 8:
            return all(submit(catalogue, series_of(series_uid=f"{number}.{at}")).created for at in range(10))
        return all(len(catalogue.jobs.list(PROJECT, state=JobState.RUNNING).items) == 4 for _ in range(30))

    assert together(12, act) == [True] * 12
    assert all(job.progress_done == 20 for job in catalogue.jobs.list(PROJECT, state=JobState.RUNNING).items)


def test_processes_agree_on_jobs_and_leases(catalogue: Catalogue, catalogue_url: str, tmp_path: Path) -> None:
    jobs = [catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)).job_id for _ in range(20)]
    (tmp_path / "submission").write_bytes(pickle.dumps((series_of(), request_of())))
    command = [sys.executable, str(Path(__file__).with_name("contender.py")), catalogue_url, str(tmp_path / "start")]
    command += [str(tmp_path / "submission"), *jobs]
    contenders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for contender in contenders:
        assert contender.stdout is not None
        assert contender.stdout.readline() == "ready\n"
    (tmp_path / "start").touch()
    answers = [json.loads(contender.communicate(timeout=60)[0]) for contender in contenders]
    assert [contender.returncode for contender in contenders] == [0, 0, 0]
    assert len({answer["job_id"] for answer in answers}) == 1
    assert sum(answer["created"] for answer in answers) == 1
    assert sorted(job for answer in answers for job in answer["won"]) == sorted(jobs)
