"""`slicebank jobs`: list, show, wait, cancel, retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.commands.series import Limit
from slicebank.cli.progress import JobsBar, job_phrase, seconds_text
from slicebank.cli.session import Session
from slicebank.records import Job, JobState
from slicebank.records.jobs import stage_seconds

# Things of one kind in a job's result that are shown; --json has all of them.
THINGS_SHOWN = 10
NOTHING: tuple[object, ...] = (None, "", [], {}, ())

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Job.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_jobs)
    command(app, "show")(show)
    command(app, "wait")(wait)
    command(app, "cancel")(cancel)
    command(app, "retry")(retry)


def list_jobs(
    session: Session,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only embed, train, predict or import.")] = None,
    study_uid: Annotated[str | None, typer.Option(help="Only of this study.")] = None,
    limit: Limit = 50,
) -> None:
    """List the jobs, newest first."""
    with session.client() as client:
        found = list(client.jobs.list(state=state, kind=kind, study_uid=study_uid, limit=limit))
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("job", "kind", "state", "progress", "left", "created", "error"),
        [
            (
                job.job_id,
                job.kind,
                str(job.state),
                _progress(job),
                seconds_text(job.eta_seconds) if job.eta_seconds is not None else "",
                job.created_at,
                job.error.code if job.error is not None else "",
            )
            for job in found
        ],
        empty="There are no such jobs.",
    )


def show(session: Session, job_id: JobId) -> None:
    """Show one job: state, progress, stages, result or error."""
    with session.client() as client:
        _print_job(session, client.jobs.get(job_id))


def wait(
    session: Session,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="Jobs to wait for.")],
    limit: Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most.")] = None,
) -> None:
    """Wait until jobs are final; exit status 1 when one of them failed or was cancelled."""
    bar = JobsBar(session.output, len(job_ids))
    with session.client() as client, bar:
        jobs = client.jobs.wait_all(job_ids, timeout=limit, on_progress=bar)
    if session.output.as_json:
        session.output.json({"items": jobs})
    else:
        for job in jobs:
            _print_job(session, job)
    if any(job.state is not JobState.SUCCEEDED for job in jobs):
        raise typer.Exit(1)


def cancel(session: Session, job_id: JobId) -> None:
    """Ask for a job to stop; a running one stops between batches."""
    with session.client() as client:
        job = client.jobs.cancel(job_id)
    if session.output.as_json:
        session.output.json(job)
    session.output.say(
        f"Job {job_id} is cancelled." if job.state is JobState.CANCELLED else f"Job {job_id} will stop in a moment."
    )


def retry(session: Session, job_id: JobId) -> None:
    """Queue a failed or cancelled job again."""
    with session.client() as client:
        job = client.jobs.retry(job_id)
    if session.output.as_json:
        session.output.json(job)
    session.output.say(f"Job {job_id} is {job.state} again; `slicebank jobs wait {job_id}` waits for it.")


def _progress(job: Job) -> str:
    if job.queue_position is not None:
        return f"number {job.queue_position} in line"
    return f"{job.progress.done}/{job.progress.total} {job.progress.unit}" if job.progress.total else ""


def _print_job(session: Session, job: Job) -> None:
    if session.output.as_json:
        session.output.json(job)
        return
    session.output.fields(
        {
            "job": job.job_id,
            "kind": job.kind,
            "state": job_phrase(job),
            "series": job.series_uid,
            "attempts": job.attempts or None,
            "created": job.created_at,
            "started": job.started_at,
            "finished": job.finished_at,
            "stages": {
                name.removesuffix("_s").replace("_", " "): _seconds(value) for name, value in job.stages.items()
            },
            "bound by": bound_phrase(job),
            "result": _result(job),
            "error": f"{job.error.detail} ({job.error.code})" if job.error is not None else None,
        }
    )


def _result(job: Job) -> str:
    """What came of a job, a line each; things such as the series of an import have a line of their own."""
    lines = []
    for name, value in job.result.items():
        things = [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []
        if things:
            lines += [f"{name.replace('_', ' ')}: {_told(item)}" for item in things[:THINGS_SHOWN]]
            if len(things) > THINGS_SHOWN:
                lines.append(f"{name.replace('_', ' ')}: {len(things) - THINGS_SHOWN} more, which --json lists")
        elif value not in NOTHING:
            lines.append(f"{name} {_told(value)}")
    return "\n".join(lines)


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(item)}" for name, item in value.items() if item not in NOTHING)
    if isinstance(value, (list, tuple)):
        return "; ".join(_told(item) for item in value)
    return str(value)


def bound_phrase(job: Job) -> str:
    """What held a job back, as a sentence; nothing where it stood still for neither decoding nor the encoder."""
    if job.bound_by is None:
        return ""
    decoding = f"{stage_seconds(job.stages, 'decode_wait_s'):.2f} s"
    encoding = f"{stage_seconds(job.stages, 'encode_wait_s'):.2f} s"
    if job.bound_by == "decode":
        return f"decoding: the job stood still {decoding} for decoded slices and {encoding} for the encoder"
    return f"the encoder: the job stood still {encoding} for it and {decoding} for decoded slices"


def _seconds(value: object) -> object:
    return f"{value:.2f} s" if isinstance(value, (int, float)) else value
