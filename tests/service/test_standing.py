"""Places in the queue for many who ask, and how often the ledger is asked for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from slicebank_service.standing import Place, Standing
from slicebank_store.catalogue import JobRecord
from slicebank_store.types import JobState
from tests.service.support import Api, FakeWorker, MakeFiles, World
from tests.service.test_jobs import uploaded_job


class CountingLedger:
    """Places jobs by their ids, and remembers who was asked about."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.moved = 0

    def standings(self, records: Collection[JobRecord]) -> dict[str, tuple[int, float | None]]:
        self.asked.append({job.job_id for job in records})
        return {job.job_id: (int(job.job_id) - self.moved, 10.0) for job in records if int(job.job_id) > self.moved}


def test_jobs_that_are_polled_are_placed_together(api: Api, world: World, make_files: MakeFiles) -> None:
    job = world.catalogue.jobs.get("default", uploaded_job(api, make_files))
    assert job is not None
    jobs = [replace(job, job_id=str(number)) for number in range(1, 51)]
    ledger, now = CountingLedger(), [0.0]
    standing = Standing(ledger, keep_s=2.0, clock=lambda: now[0])
    assert standing.of(jobs[:25]) == {str(number): Place(number, 10.0) for number in range(1, 26)}
    standing.of(jobs[25:])
    assert len(ledger.asked) == 2, "those that are new are placed alone"
    for _ in range(3):
        for one in jobs:
            standing.of([one])
    assert len(ledger.asked) == 2, "places are kept for two seconds"
    now[0], ledger.moved = 3.0, 5
    for one in jobs[5:]:
        assert standing.of([one])[one.job_id].position == int(one.job_id) - 5
    assert len(ledger.asked) == 3, "one that is too old renews all"
    assert ledger.asked[2] == {one.job_id for one in jobs}
    assert standing.of([jobs[0]]) == {}, "it is queued no more"
    now[0] = 60.0
    standing.of([jobs[10]])
    assert ledger.asked[3] == {jobs[10].job_id}, "what nobody asks about is forgotten"
    assert standing.of([replace(jobs[20], state=JobState.RUNNING)]) == {}
    assert len(ledger.asked) == 4


def test_a_queued_job_tells_its_place_and_when_it_will_have_ended(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    done = uploaded_job(api, make_files)
    worker.embed(done)
    first, second = (uploaded_job(api, make_files, seed) for seed in (1, 2))
    shown = {job["job_id"]: job for job in api.get("/v1/jobs").json()["items"]}
    assert [shown[job_id]["queue_position"] for job_id in (first, second, done)] == [1, 2, None]
    assert 0 <= shown[first]["eta_seconds"] <= shown[second]["eta_seconds"]
    assert shown[done]["eta_seconds"] is None
    assert api.get(f"/v1/jobs/{second}").json()["queue_position"] == 2
