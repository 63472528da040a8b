from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from slicebank_store.types import JobState
from tests.service.support import KEY, Api, FakeWorker, MakeFiles, World, assert_problem

HEADERS = {"Authorization": f"Bearer {KEY}"}


def uploaded_job(api: Api, make_files: MakeFiles, seed: int = 0, **query: Any) -> str:
    return str(api.upload(make_files(seed), **query).json()["series"][0]["job_id"])


def test_a_job_as_it_is_shown(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    second = uploaded_job(api, make_files, 1)
    assert api.get(f"/v1/jobs/{second}").json()["queue_position"] == 2
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["progress"] == {"done": 0, "total": None, "unit": None}
    assert (job["kind"], job["state"], job["queue_position"], job["attempts"]) == ("embed", "queued", 1, 0)
    assert (job["error"], job["result"], job["started_at"]) == (None, None, None)
    assert job["created_at"].endswith("Z")
    bag = worker.embed(job_id)
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["queue_position"], job["result"]["bag_id"]) == ("succeeded", None, bag.bag_id)


def test_progress_gives_an_estimate(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    lease = worker.claim(job_id)
    world.catalogue.jobs.heartbeat(lease, lease_s=60, done=2, total=4, unit="slices", stages={"decode_s": 0.5})
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["progress"] == {"done": 2, "total": 4, "unit": "slices"}
    assert job["eta_seconds"] >= 0
    assert job["stages"] == {"decode_s": 0.5}


def test_jobs_are_listed_newest_first_in_pages(api: Api, make_files: MakeFiles) -> None:
    made = [uploaded_job(api, make_files, seed) for seed in range(3)]
    first = api.get("/v1/jobs", params={"limit": 2, "kind": "embed", "state": "queued"}).json()
    rest = api.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["job_id"] for job in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert api.get("/v1/jobs", params={"state": "failed"}).json()["items"] == []


def test_a_queued_job_is_cancelled_at_once_and_its_files_go(api: Api, world: World, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert world.staged() == {}
    assert_problem(api.post(f"/v1/jobs/{job_id}/retry"), 409, "not_retryable")


def test_a_running_job_is_asked_to_end(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    worker.claim(job_id)
    job = api.post(f"/v1/jobs/{job_id}/cancel").json()
    assert (job["state"], job["cancel_requested"]) == ("running", True)
    assert world.queue.hurried == [job_id]


def test_a_job_that_succeeded_is_neither_cancelled_nor_retried(
    api: Api, worker: FakeWorker, make_files: MakeFiles
) -> None:
    job_id = uploaded_job(api, make_files)
    worker.embed(job_id)
    assert_problem(api.post(f"/v1/jobs/{job_id}/cancel"), 409, "not_cancellable")
    assert_problem(api.post(f"/v1/jobs/{job_id}/retry"), 409, "not_retryable")


def test_a_failed_job_keeps_its_files_and_is_retried(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    job_id = uploaded_job(api, make_files)
    world.catalogue.jobs.fail(worker.claim(job_id), "decode_failed", "too many slices are broken", retryable=False)
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["error"] == {"code": "decode_failed", "detail": "too many slices are broken"}
    response = api.post(f"/v1/jobs/{job_id}/retry")
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    assert world.queue.job_ids == [job_id, job_id]


async def wait_and_work(api: Api, path: str, work: Callable[[], Any]) -> httpx.Response:
    """Asks, and does the work once the request listens."""
    answers: list[httpx.Response] = []
    listening = api.app.state.context.hub._listeners
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:

        async def ask() -> None:
            answers.append(await client.get(path, headers=HEADERS, timeout=60))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while not listening:
                await anyio.sleep(0.005)
            await anyio.to_thread.run_sync(work)
    assert not listening, "nobody listens once the answer is out"
    return answers[0]


def test_a_long_poll_ends_with_the_job(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)

    def work() -> None:
        worker.embed(job_id)
        world.news.say(job_id, JobState.SUCCEEDED)

    response = api.call(wait_and_work, api, f"/v1/jobs/{job_id}?wait=60", work)
    assert response.json()["state"] == "succeeded"


def test_a_lost_notification_only_costs_a_poll(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    response = api.call(wait_and_work, api, f"/v1/jobs/{job_id}?wait=60", lambda: worker.embed(job_id))
    assert response.json()["state"] == "succeeded"


def test_a_long_poll_ends_with_its_time(api: Api, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    assert api.get(f"/v1/jobs/{job_id}", params={"wait": 0.05}).json()["state"] == "queued"


def test_events_tell_every_change_and_end_with_the_job(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    job_id = uploaded_job(api, make_files)

    def work() -> None:
        lease = worker.claim(job_id)
        world.news.say(job_id, JobState.RUNNING)
        world.catalogue.jobs.fail(lease, "decode_failed", "too many slices are broken", retryable=False)
        world.news.say(job_id, JobState.FAILED)

    response = api.call(wait_and_work, api, f"/v1/jobs/{job_id}/events", work)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in response.text.strip().split("\n\n")]
    states = [json.loads(data.removeprefix("data: "))["state"] for name, data in events if name == "event: job"]
    assert states[0] == "queued"
    assert states[-1] == "failed"
    assert len(set(states)) == len(states), "an unchanged job is not told twice"


def test_waiting_holds_no_database_connection(api: Api, world: World, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    pool = world.catalogue._database._engine.pool  # the only place that knows

    def look() -> None:
        # A look may be under way; a request that held a connection would hold it all the time.
        free = (time.sleep(0.01) or pool.checkedout() == 0 for _ in range(500))  # type: ignore[attr-defined,func-returns-value]
        assert any(free)
        world.catalogue.jobs.request_cancel("default", job_id)

    response = api.call(wait_and_work, api, f"/v1/jobs/{job_id}?wait=60", look)
    assert response.json()["state"] == "cancelled"
