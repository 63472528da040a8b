"""`client.jobs`: watching work, and taking influence on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator

from slicebank.errors import JobCancelled, JobFailed, UnexpectedAnswer, WaitTimedOut
from slicebank.records import Job, JobState, decode
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.transport import Transport

# One long poll; proxies commonly cut silent requests after 60 s.
POLL_SECONDS = 20.0
# With somebody watching a progress bar, an answer is wanted this often.
WATCH_SECONDS = 1.0
# Workers and server send nothing while a queued job waits; a silent stream is only a dead one after this.
EVENT_SILENCE_SECONDS = 120.0

OnJob = Callable[[Job], object]


class JobsResource:
    """Jobs: list, look at, wait for, follow, cancel and retry."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        state: JobState | str | None = None,
        kind: str | None = None,
        series_uid: str | None = None,
        study_uid: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Walk the jobs of the project, newest first."""
        query = {
            "state": None if state is None else str(state),
            "kind": kind,
            "series_uid": series_uid,
            "study_uid": study_uid,
        }
        return paged(self._transport, "/v1/jobs", Job, query, limit=limit)

    def get(self, job_id: str, *, wait: float | None = None) -> Job:
        """One job; `wait` lets the server hold the answer up to that many seconds, until the job is final.

        Raises:
            NotFound: no such job.
        """
        answer = self._transport.get(f"/v1/jobs/{url_part(job_id)}", {"wait": wait}, patience=wait or 0.0)
        return decode(Job, answer)

    def wait(self, job_id: str, *, timeout: float | None = None, on_progress: OnJob | None = None) -> Job:
        """Wait until a job has succeeded and return it.

        A server that restarts meanwhile is waited for, up to a minute of silence.

        Args:
            job_id: the job.
            timeout: seconds to wait at most; without it, as long as it takes.
            on_progress: called with the job after every answer.

        Raises:
            JobFailed, JobCancelled: it ended so; the error carries the job.
            WaitTimedOut: the time is over; the job goes on.
        """
        job = self._wait_until_final(job_id, timeout, on_progress)
        if job.state is JobState.FAILED:
            reason = f"{job.error.detail} ({job.error.code})" if job.error is not None else "it gave no reason"
            raise JobFailed(f"Job {job.job_id} ({job.kind}) failed: {reason}", job=job)
        if job.state is JobState.CANCELLED:
            raise JobCancelled(f"Job {job.job_id} ({job.kind}) was cancelled.", job=job)
        return job

    def wait_all(
        self, job_ids: Iterable[str], *, timeout: float | None = None, on_progress: OnJob | None = None
    ) -> tuple[Job, ...]:
        """Wait until every job is final and return them in order, failed and cancelled ones among them.

        Args:
            job_ids: the jobs.
            timeout: seconds for all of them together.
            on_progress: called with a job after every answer about it.

        Raises:
            WaitTimedOut: the time is over; the jobs go on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return tuple(
            self._wait_until_final(
                job_id, None if deadline is None else max(deadline - time.monotonic(), 0.0), on_progress
            )
            for job_id in job_ids
        )

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to stop; a running one stops between batches.

        Raises:
            Conflict: it is final already.
        """
        return decode(Job, self._transport.send("POST", f"/v1/jobs/{url_part(job_id)}/cancel"))

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again.

        Raises:
            Conflict: it is not failed, or its files are no longer there.
        """
        return decode(Job, self._transport.send("POST", f"/v1/jobs/{url_part(job_id)}/retry"))

    def events(self, job_id: str) -> Iterator[Job]:
        """Follow a job as the server tells of it (server-sent events); ends after its final state."""
        path = f"/v1/jobs/{url_part(job_id)}/events"
        with self._transport.stream(path, accept="text/event-stream", idle_seconds=EVENT_SILENCE_SECONDS) as response:
            for data in _event_data(response.iter_lines()):
                try:
                    job = decode(Job, json.loads(data))
                except ValueError as error:
                    raise UnexpectedAnswer("The server's events are not the JSON of a job.") from error
                yield job
                if job.final:
                    return

    def _wait_until_final(self, job_id: str, timeout: float | None, on_progress: OnJob | None) -> Job:
        deadline = None if timeout is None else time.monotonic() + timeout
        longest = POLL_SECONDS if on_progress is None else WATCH_SECONDS
        while True:
            left = longest if deadline is None else min(longest, max(deadline - time.monotonic(), 0.0))
            # Whoever knows a job was answered before, so a server that is away comes back.
            answer = self._transport.get(
                f"/v1/jobs/{url_part(job_id)}", {"wait": round(left, 3)}, patience=left, known=True
            )
            job = decode(Job, answer)
            if on_progress is not None:
                on_progress(job)
            if job.final:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimedOut(f"Job {job.job_id} ({job.kind}) is still {job.state}.", job=job)


def _event_data(lines: Iterable[str]) -> Iterator[str]:
    """Join the `data` lines of each event (WHATWG HTML, 9.2.6); comments and other fields are passed over."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)
