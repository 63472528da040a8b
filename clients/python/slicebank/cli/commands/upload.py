"""`slicebank upload`: from paths to bags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.commands.imports import priority_of
from slicebank.cli.geometry import oddities
from slicebank.cli.output import Output, print_refused, print_refused_series
from slicebank.cli.paths import existing_path
from slicebank.cli.progress import JobsBar, UploadBar
from slicebank.cli.session import Session
from slicebank.client import Client
from slicebank.records import Job, JobState, Upload

# Reasons are shown by kind, each with this many names; --json has all of them.
NAMES_SHOWN = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "upload")(upload)


def upload(
    session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="DICOM, folders of it, archives, NIfTI.", parser=existing_path),
    ],
    encoder: Annotated[str | None, typer.Option(help="Encoder id; the server's default otherwise.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the bags are made.")] = True,
    embed: Annotated[bool, typer.Option("--embed/--no-embed", help="Embed now, or only keep the pixels.")] = True,
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep the pixels, for other encoders later.", show_default=False)
    ] = False,
    patient: Annotated[str | None, typer.Option(help="PatientID for every file; hashed on arrival.")] = None,
    study_uid: Annotated[str | None, typer.Option(help="StudyInstanceUID for every file.")] = None,
    stack: Annotated[str | None, typer.Option(help="Stack to embed where a series has several: number or all.")] = None,
    priority: Annotated[str | None, typer.Option(help="interactive or bulk.")] = None,
    assume_rescale: Annotated[
        str | None, typer.Option(metavar="SLOPE,INTERCEPT", help="For files without rescale, such as 1,-1024.")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Do not send what the server knows.")] = True,
    resumable: Annotated[
        bool | None,
        typer.Option(
            "--resumable/--no-resumable",
            help="Send in parts, to go on where it stopped; by itself above 64 MB.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[str | None, typer.Option(help="not_hu takes volumes that are not in HU.")] = None,
) -> None:
    """Upload CT and make bags of embeddings; uploading the same again computes nothing."""
    output = session.output
    chosen = priority_of(priority)
    if force not in (None, "not_hu"):
        raise typer.BadParameter("force knows one value, not_hu", param_hint="--force")
    bar = UploadBar(output)
    with session.client() as client:
        with _resumable_note(output), bar:
            sent = client.series.upload(
                paths,
                encoder=encoder,
                embed=embed,
                retain=retain,
                stack=_stack(stack),
                priority=chosen,
                patient=patient,
                study_uid=study_uid,
                assume_rescale=_rescale(assume_rescale),
                force=force,
                check=check,
                resumable=resumable,
                on_progress=bar,
            )
        jobs = _wait(output, client, sent) if wait and sent.job_ids else ()
    if output.as_json:
        output.json(
            {
                "series": sent.series,
                "rejected": sent.rejected,
                "refused_series": sent.refused_series,
                "skipped": sent.skipped,
                "jobs": jobs if wait else None,
            }
        )
    else:
        _print(output, sent, jobs)
    if any(job.state is not JobState.SUCCEEDED for job in jobs):
        raise typer.Exit(1)


@contextmanager
def _resumable_note(output: Output) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        output.note("Interrupted; the same command goes on, and what was taken in is not sent again.")
        raise


def _wait(output: Output, client: Client, sent: Upload) -> tuple[Job, ...]:
    bar = JobsBar(output, len(sent.job_ids))
    try:
        with bar:
            return client.jobs.wait_all(sent.job_ids, on_progress=bar)
    except KeyboardInterrupt:
        output.note("The upload is complete and its jobs go on; `slicebank jobs list` shows them.")
        raise


def _print(output: Output, sent: Upload, jobs: tuple[Job, ...]) -> None:
    states = {job.job_id: job for job in jobs}
    rows = []
    for item in sent.series:
        job = states.get(item.job_id or "")
        rows.append(
            (
                item.series_uid,
                "known" if item.known else item.n_slices,
                item.bag_id,
                str(job.state if job is not None else item.state),
                job.error.detail if job is not None and job.error is not None else "",
            )
        )
    output.table(("series", "slices", "bag", "state", ""), rows, empty="Nothing was accepted.")
    warned: dict[str, list[str]] = {}
    for item in sent.series:
        for warning in item.warnings:
            warned.setdefault(warning, []).append(item.series_uid)
    for warning, uids in warned.items():
        output.note(f"[yellow]Warning:[/] {escape(warning)} ({escape(_some(list(dict.fromkeys(uids)), 'series'))})")
    for item in sent.series:
        if odd := oddities(item.geometry):
            output.note(f"[yellow]Geometry[/] of {escape(item.series_uid)}: {escape('; '.join(odd))}")
    print_refused_series(output, sent.refused_series)
    print_refused(output, sent.rejected)
    reasons = Counter(item.reason for item in sent.skipped)
    for reason, count in reasons.most_common():
        names = [item.name for item in sent.skipped if item.reason == reason][:NAMES_SHOWN]
        more = ", ..." if count > len(names) else ""
        files = "file" if count == 1 else "files"
        output.err.print(f"{count} {files} not sent: {reason} ({', '.join(names)}{more})", markup=False, soft_wrap=True)
    if sent.rejected or sent.skipped:
        output.note(escape(_sum(sent)))


def _some(uids: Sequence[str], what: str) -> str:
    return uids[0] if len(uids) == 1 else f"{len(uids)} {what}, such as {uids[0]}"


def _sum(sent: Upload) -> str:
    taken = {item.series_uid: item for item in sent.series}
    slices = sum(item.n_slices for item in sent.series)
    known = sum(item.known for item in taken.values())
    counts = [
        f"{slices} {'slice' if slices == 1 else 'slices'}" if slices else "",
        f"{known} known before" if known else "",
    ]
    told = f" ({', '.join(count for count in counts if count)})" if slices or known else ""
    refused = f"{len(sent.rejected)} {'file' if len(sent.rejected) == 1 else 'files'} refused"
    return f"In all: {len(taken)} series taken{told}, {refused}, {len(sent.skipped)} not sent."


def _stack(text: str | None) -> int | Literal["all"] | None:
    if text is None:
        return None
    if text == "all":
        return "all"
    if not text.isdigit():
        raise typer.BadParameter("a stack is a number, or all", param_hint="--stack")
    return int(text)


def _rescale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        slope, intercept = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a slope and an intercept; write them like 1,-1024", param_hint="--assume-rescale"
        ) from error
    return slope, intercept
