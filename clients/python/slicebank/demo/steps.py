"""What the demo says while it works."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from slicebank.cli.output import Output
from slicebank.cli.progress import JobsBar, UploadBar
from slicebank.client import Client
from slicebank.errors import JobFailed
from slicebank.records import Job, JobState, Upload


class Steps:
    """Numbered steps with the time each took."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step; its time is told when it ends well."""
        self._number += 1
        self.output.say(f"[bold cyan]{self._number}[/] [bold]{title}[/]")
        began = time.monotonic()
        yield
        self.output.say(f"  [dim]{time.monotonic() - began:.1f} s[/]")

    def tell(self, text: str) -> None:
        """A line within a step; text may carry rich markup."""
        self.output.say(f"  {text}")

    @contextmanager
    def spinner(self, text: str) -> Iterator[None]:
        """Something that takes a moment and cannot be counted."""
        if not self.output.shows_progress:
            yield
            return
        with self.output.err.status(f"  {text}"):
            yield

    def counted(self, total: int, text: str) -> Progress:
        """A bar over `total` things; advance its task 0."""
        bar = Progress(
            SpinnerColumn(),
            TextColumn(f"  {text}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.output.err,
            disable=not self.output.shows_progress,
        )
        bar.add_task(text, total=total)
        return bar

    def upload(
        self,
        client: Client,
        paths: Sequence[Path],
        *,
        encoder: str | None = None,
        priority: Literal["interactive", "bulk"] | None = None,
    ) -> Upload:
        """Upload with a bar; where bars are not drawn, a line says what arrived."""
        bar = UploadBar(self.output)
        with bar:
            sent = client.series.upload(paths, encoder=encoder, priority=priority, on_progress=bar)
        slices = sum(item.n_slices for item in sent)
        self.tell(f"{len(sent)} series with {slices} slices accepted")
        return sent

    def wait(self, client: Client, job_ids: Sequence[str]) -> tuple[Job, ...]:
        """Wait for jobs with a bar.

        Raises:
            JobFailed: all of them failed.
        """
        bar = JobsBar(self.output, len(job_ids))
        with bar:
            jobs = client.jobs.wait_all(job_ids, on_progress=bar)
        failed = [job for job in jobs if job.state is not JobState.SUCCEEDED]
        for job in failed:
            reason = job.error.detail if job.error is not None else str(job.state)
            self.tell(f"[red]{job.kind} job {job.job_id}: {escape(reason)}[/]")
        if failed and len(failed) == len(jobs):
            reason = failed[0].error.detail if failed[0].error is not None else "it gave no reason"
            raise JobFailed(f"Nothing was made: {reason}", job=failed[0], hint="The server's logs say more.")
        return jobs
