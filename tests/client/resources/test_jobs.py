"""Waiting, following and steering jobs."""

from __future__ import annotations

import json

import httpx
import pytest

from slicebank import Client, Job, JobState, errors
from slicebank.resources.jobs import _event_data
from tests.client.speaking_server import Reply, SpeakingServer, job

RUNNING = job(
    "j", "running", progress={"done": 3, "total": 10, "unit": "slices"}, started_at="2024-05-01T10:00:00.000Z"
)
DONE = job("j", "succeeded", result={"bag_id": "b", "skipped": []}, stages={"decode_s": 1.5})
FAILED = job("j", "failed", error={"code": "decode_failed", "detail": "3 of 20 slices did not decode."})


def test_wait_follows_to_the_end(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/j", job("j", "queued", queue_position=2), RUNNING, DONE)
    seen: list[Job] = []
    found = client.jobs.wait("j", on_progress=seen.append)
    assert [item.state for item in seen] == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert seen[1].progress.fraction == pytest.approx(0.3)
    assert found.result["bag_id"] == "b"
    assert all(float(request.query["wait"]) > 0 for request in server.requests)


def test_a_failed_job_says_why(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/j", FAILED)
    with pytest.raises(errors.JobFailed) as caught:
        client.jobs.wait("j")
    assert "3 of 20 slices" in str(caught.value)
    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "decode_failed"


def test_a_cancelled_job(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/j", job("j", "cancelled"))
    with pytest.raises(errors.JobCancelled):
        client.jobs.wait("j")


def test_waiting_ends_at_its_time(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/j", RUNNING)
    with pytest.raises(errors.WaitTimedOut) as caught:
        client.jobs.wait("j", timeout=0)
    assert caught.value.job.state is JobState.RUNNING


def test_wait_all_returns_failures_among_the_others(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/a", job("a", "succeeded"))
    server.on("GET /v1/jobs/b", job("b", "failed"))
    assert [item.state for item in client.jobs.wait_all(["a", "b"])] == [JobState.SUCCEEDED, JobState.FAILED]


def test_a_restart_of_the_server_is_waited_for() -> None:
    answers = iter(
        [
            httpx.ConnectError("down"),
            httpx.Response(503, json={"code": "x", "detail": "y"}),
            httpx.Response(200, json=DONE),
        ]
    )

    def handler(request: httpx.Request) -> httpx.Response:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Client("http://server", "k", transport=httpx.MockTransport(handler)) as client:
        assert client.jobs.wait("j").state is JobState.SUCCEEDED


def test_events_end_with_the_job(client: Client, server: SpeakingServer) -> None:
    events = "".join(f"event: job\ndata: {json.dumps(item)}\n\n" for item in (RUNNING, DONE, RUNNING))
    server.on("GET /v1/jobs/j/events", Reply(200, b": hello\n\n" + events.encode(), "text/event-stream"))
    assert [item.state for item in client.jobs.events("j")] == [JobState.RUNNING, JobState.SUCCEEDED]


def test_events_of_an_unknown_job(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        list(client.jobs.events("j"))


def test_events_that_are_not_json(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs/j/events", Reply(200, b"data: {\n\n", "text/event-stream"))
    with pytest.raises(errors.UnexpectedAnswer):
        list(client.jobs.events("j"))


def test_event_lines_are_joined() -> None:
    lines = [": note", "event: job", "data: a", "data:b", "", "", "id: 1", "", "data: c"]
    assert list(_event_data(lines)) == ["a\nb", "c"]


def test_list_cancel_retry(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs", {"items": [RUNNING], "next_cursor": None})
    server.on("POST /v1/jobs/j/cancel", job("j", "cancelled"))
    server.on("POST /v1/jobs/j/retry", Reply(202, job("j", "queued")))
    [found] = client.jobs.list(state=JobState.RUNNING, kind="embed")
    assert found.started_at is not None
    assert found.started_at.utcoffset() is not None
    assert server.requests[0].query["state"] == "running"
    assert client.jobs.cancel("j").state is JobState.CANCELLED
    assert client.jobs.retry("j").state is JobState.QUEUED
