"""Bars for uploads and for jobs, on stderr and only on a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from slicebank.cli.output import Output, size_text
from slicebank.records import CaseOutcome, Cohort, ExportProgress, Job, JobState
from slicebank.upload import UploadProgress

NAME_COLUMNS = 40


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("", total=None)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()


class UploadBar(_Bar):
    """Bytes over all requests of an upload, with speed and time left; give it as `on_progress`."""

    def __init__(self, output: Output) -> None:
        super().__init__(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=output.err,
                disable=not output.shows_progress,
            )
        )

    def __call__(self, now: UploadProgress) -> None:
        """Move the bar."""
        where = f" {now.batch}/{now.batches}" if now.batches > 1 else ""
        sent = now.sent_bytes >= now.total_bytes
        doing = "Looking at" if now.hashed_bytes else "Uploading"
        text = "Reading headers" if sent else f"{doing}{where} {now.name[-NAME_COLUMNS:]}"
        self._progress.update(self._task, description=text, completed=now.sent_bytes, total=now.total_bytes)


class JobsBar(_Bar):
    """Jobs done of all jobs, the running one counted by its share; give it as `on_progress`."""

    def __init__(self, output: Output, total: int) -> None:
        super().__init__(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=output.err,
                disable=not output.shows_progress,
            )
        )
        self._total = total
        self._final: set[str] = set()
        self._progress.update(self._task, total=total, description="Waiting", count="")

    def __call__(self, job: Job) -> None:
        """Move the bar."""
        if job.final:
            self._final.add(job.job_id)
        done = len(self._final) + (0.0 if job.final else job.progress.fraction)
        count = f"{len(self._final)}/{self._total} jobs" if self._total > 1 else ""
        self._progress.update(self._task, completed=done, description=f"{job.kind}: {job_phrase(job)}", count=count)


class CohortBar(_Bar):
    """Cases: first as they are submitted (`case` as `on_case`), then as they are done (the bar itself as `on_progress`)."""

    def __init__(self, output: Output) -> None:
        super().__init__(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=output.err,
                disable=not output.shows_progress,
            )
        )
        self._submitted = 0
        self._progress.update(self._task, description="Submitting", count="")

    def case(self, outcome: CaseOutcome) -> None:
        """Count a case that was submitted."""
        self._submitted += 1
        name = outcome.name[-NAME_COLUMNS:]
        self._progress.update(self._task, description=f"Submitting {name}", count=f"{self._submitted} cases")

    def __call__(self, cohort: Cohort) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            description="Waiting",
            completed=cohort.progress.done,
            total=cohort.cases,
            count=f"{cohort.progress.done}/{cohort.cases} cases",
        )


class ExportBar(_Bar):
    """Bags of an export that are there, of all; give it as `on_progress`."""

    def __init__(self, output: Output) -> None:
        super().__init__(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeRemainingColumn(),
                console=output.err,
                disable=not output.shows_progress,
            )
        )
        self._progress.update(self._task, description="Choosing", count="")

    def __call__(self, now: ExportProgress) -> None:
        """Move the bar."""
        count = f"{now.done}/{now.total} bags, {size_text(now.received_bytes)}"
        self._progress.update(self._task, description="Fetching", completed=now.done, total=now.total, count=count)


def job_phrase(job: Job) -> str:
    """What a job is doing, in a few words."""
    if job.state is JobState.QUEUED:
        place = f", number {job.queue_position} in line" if job.queue_position else ""
        return f"queued{place}{_left(job)}"
    if job.state is JobState.RUNNING and job.progress.total:
        return f"{job.progress.done}/{job.progress.total} {job.progress.unit}{_left(job)}"
    return str(job.state)


def _left(job: Job) -> str:
    return "" if job.eta_seconds is None else f", {seconds_text(job.eta_seconds)} left"


def seconds_text(seconds: float) -> str:
    """A time as people say it, to two figures at most."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
