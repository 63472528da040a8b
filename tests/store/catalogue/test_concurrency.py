"""Several processes and many threads on one real database."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from slicebank_store.catalogue import Beat, Catalogue, Lease, NewJob
from slicebank_store.types import JobKind, JobState

from ..builders import (
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
    request_of,
    series_of,
    stack_of,
    submit,
    train,
)
from ..postgres import Postgres

T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_deadlock(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which PostgreSQL had to end a transaction because two waited for each other."""
    if "postgres" not in request.node.name:
        yield
        return
    server: Postgres = request.getfixturevalue("postgres")
    before = len(server.log())
    yield
    assert "deadlock detected" not in server.log()[before:]


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


def test_of_many_who_end_one_job_exactly_one_decides(catalogue: Catalogue) -> None:
    submitted = submit(catalogue)
    lease = claim(catalogue, submitted.job_id)
    bag = bag_of(catalogue, lease)

    def end(number: int) -> JobState | bool:
        if number % 2:
            return catalogue.jobs.fail(lease, "x", "y", retryable=False)
        return catalogue.jobs.succeed(lease, {}, bag=bag)

    ended = together(8, end)
    job = catalogue.jobs.get(PROJECT, submitted.job_id)
    assert job is not None
    succeeded = job.state is JobState.SUCCEEDED
    assert set(ended[1::2]) == {job.state}
    assert any(ended[::2]) == succeeded
    assert (catalogue.bags.get(PROJECT, bag.bag_id) is not None) == succeeded


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


def test_an_upload_against_the_worker_that_ends_its_job(catalogue: Catalogue) -> None:
    for number in range(10):
        incoming = series_of(series_uid=f"1.{number}")
        lease = claim(catalogue, submit(catalogue, incoming).job_id)
        bag = bag_of(catalogue, lease)

        def act(which: int, incoming: Any = incoming, lease: Lease = lease, bag: Any = bag) -> object:
            if which:
                return submit(catalogue, incoming).created
            return catalogue.jobs.succeed(lease, {"bag_id": bag.bag_id}, bag=bag)

        assert together(2, act) == [True, False], "the bag is never made again"


def test_jobs_that_keep_the_pixels_of_one_stack_end_together(catalogue: Catalogue) -> None:
    recipes = [replace(RECIPE, encoder=f"e{number}") for number in range(4)]
    leases = [claim(catalogue, submit(catalogue, recipe=recipe, retain=True).job_id) for recipe in recipes]
    bags = [bag_of(catalogue, lease) for lease in leases]
    ended = together(
        4, lambda at: catalogue.jobs.succeed(leases[at], {}, bag=bags[at], pixels_key=f"default/pixels/{at}")
    )
    assert ended == [True] * 4


def test_bags_are_deleted_while_their_patient_is_renamed(catalogue: Catalogue) -> None:
    for number in range(6):
        bag = embed(catalogue)
        again = submit(catalogue, recipe=replace(RECIPE, encoder="other"), staging=f"{number:032x}")
        named = replace(series_of(patient=f"q{number}"), named_by_sender=True)

        def act(which: int, named: Any = named, bag: Any = bag) -> object:
            return submit(catalogue, named) if which else catalogue.deletions.delete_bag(PROJECT, bag.bag_id)

        together(2, act)
        catalogue.jobs.request_cancel(PROJECT, again.job_id)
        catalogue.deletions.delete_series(PROJECT, "1.2.3")


def test_versions_of_one_head_are_made_trained_promoted_and_deleted_side_by_side(catalogue: Catalogue) -> None:
    made = together(6, lambda _: catalogue.heads.create(head_of(), params={}, manifest={}))
    assert sorted(head.version for head, _ in made) == [1, 2, 3, 4, 5, 6]
    leases = [claim(catalogue, job.job_id) for _, job in made]
    outcomes = [outcome_of(head.head_id) for head, _ in made]
    assert together(6, lambda at: catalogue.jobs.succeed(leases[at], {}, head=outcomes[at])) == [True] * 6
    ids = [head.head_id for head, _ in made]

    def act(number: int) -> object:
        if number < 3:
            return catalogue.deletions.delete_head(PROJECT, ids[number]).found
        return [catalogue.heads.promote(PROJECT, ids[number]) for _ in range(5)]

    assert together(6, act)[:3] == [True] * 3
    assert sum(head.promoted for head in catalogue.heads.versions(PROJECT, "nodule")) == 1


def test_predictions_are_made_while_head_and_series_are_deleted(catalogue: Catalogue) -> None:
    for number in range(6):
        bags = [embed(catalogue, series_of(series_uid=f"{number}.{at}")) for at in range(3)]
        heads = [train(catalogue, f"h{at}", series_uids=tuple(bag.series_uid for bag in bags)) for at in range(2)]
        answers = [prediction_of(head, bag) for bag in bags for head in heads]
        made = [
            claim(
                catalogue,
                catalogue.jobs.create(
                    NewJob(
                        PROJECT,
                        JobKind.PREDICT,
                        prediction_id=one.prediction_id,
                        bag_id=one.bag_id,
                        head_id=one.head_id,
                        series_uid=one.series_uid,
                    )
                ).job_id,
            )
            for one in answers
        ]

        def act(which: int, bags: Any = bags, heads: Any = heads, answers: Any = answers, made: Any = made) -> object:
            if which < 3:
                return catalogue.deletions.delete_series(PROJECT, bags[which].series_uid)
            if which < 5:
                return catalogue.deletions.delete_head(PROJECT, heads[which - 3])
            return catalogue.jobs.succeed(made[which - 5], {}, prediction=answers[which - 5])

        together(11, act)
        assert all(catalogue.predictions.get(PROJECT, one.prediction_id) is None for one in answers)


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
