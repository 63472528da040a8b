"""`slicebank cohort`: many cases as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.commands.imports import (
    Description,
    Kernel,
    LargestOnly,
    MaxThickness,
    MinImages,
    MinThickness,
    Modality,
    selection,
)
from slicebank.cli.commands.series import Limit
from slicebank.cli.output import Output
from slicebank.cli.paths import existing_path
from slicebank.cli.progress import CohortBar
from slicebank.cli.session import Session
from slicebank.records import CaseOutcome, CaseState, Cohort, Submission

GroupId = Annotated[str, typer.Argument(metavar="GROUP_ID", help="Cohort.")]
NEVER_THERE = (CaseState.FAILED,)
# Rows of one reason that are named; --json has all of them.
ROWS_SHOWN = 8


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "submit")(submit)
    command(app, "list")(list_cohorts)
    command(app, "show")(show)
    command(app, "failures")(failures)
    command(app, "cancel")(cancel)
    command(app, "retry")(retry)


def submit(
    session: Session,
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="CSV with a column path or study_uid.", parser=existing_path),
    ],
    encoder: Annotated[str | None, typer.Option(help="Encoder id; the server's default otherwise.")] = None,
    embed: Annotated[bool, typer.Option("--embed/--no-embed", help="Embed now, or only keep the pixels.")] = True,
    retain: Annotated[bool, typer.Option("--retain", help="Keep the pixels.", show_default=False)] = False,
    source: Annotated[str | None, typer.Option(help="PACS that has the studies named by UID.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Cases under way at once.")] = 4,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Do not send what the server knows.")] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every case is done.")] = True,
    modality: Modality = None,
    kernel: Kernel = None,
    description: Description = None,
    min_thickness: MinThickness = None,
    max_thickness: MaxThickness = None,
    min_images: MinImages = None,
    largest_only: LargestOnly = False,
) -> None:
    """Submit the cases of a table as one; run it again to go on, or after more files have come."""
    output = session.output
    with session.client() as client:
        bar = CohortBar(output)
        with bar:
            made = client.cohorts.submit(
                table,
                encoder=encoder,
                embed=embed,
                retain=retain,
                source=source,
                select=selection(modality, kernel, description, min_thickness, max_thickness, min_images, largest_only),
                workers=workers,
                check=check,
                on_case=bar.case,
            )
            cohort = made.cohort
            if wait:
                missing = sum(item.state in NEVER_THERE for item in made)
                cohort = client.cohorts.wait(cohort.group_id, missing=missing, on_progress=bar)
    if output.as_json:
        output.json({"cohort": cohort, "cases": made.outcomes})
    else:
        _print_submission(output, made)
        _print(output, cohort)
    if cohort.failures or any(item.state in (CaseState.FAILED, CaseState.REFUSED) for item in made):
        raise typer.Exit(1)


def list_cohorts(session: Session, limit: Limit = 50) -> None:
    """List the cohorts, newest first."""
    with session.client() as client:
        # The list names cohorts; how far each is, it does not say.
        found = [client.cohorts.get(item.group_id) for item in client.cohorts.list(limit=limit)]
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("cohort", "state", "cases", "done", "failed jobs", "created"),
        [
            (item.group_id, item.state, item.cases, item.progress.done, item.jobs.get("failed"), item.created_at)
            for item in found
        ],
        empty="There are no cohorts yet; `slicebank cohort submit TABLE` makes one.",
    )


def show(session: Session, group_id: GroupId) -> None:
    """Show one cohort: progress, jobs by state, failures by code."""
    with session.client() as client:
        found = client.cohorts.get(group_id)
    if session.output.as_json:
        session.output.json(found)
        return
    _print(session.output, found)


def failures(session: Session, group_id: GroupId) -> None:
    """List the cases that failed, row by row of the table; the first hundred."""
    with session.client() as client:
        found = client.cohorts.get(group_id)
    if session.output.as_json:
        session.output.json({"items": found.failures})
        return
    session.output.table(
        ("row", "job", "code", "why"),
        [(item.case + 1, item.job_id, item.code, item.detail) for item in found.failures],
        empty="No case failed.",
    )


def cancel(session: Session, group_id: GroupId) -> None:
    """Cancel every job that is not final."""
    with session.client() as client:
        _answer(session, client.cohorts.cancel(group_id))


def retry(session: Session, group_id: GroupId) -> None:
    """Queue every failed or cancelled job again whose files are still there."""
    with session.client() as client:
        _answer(session, client.cohorts.retry(group_id))


def _answer(session: Session, cohort: Cohort) -> None:
    if session.output.as_json:
        session.output.json(cohort)
        return
    _print(session.output, cohort)


def _print(output: Output, cohort: Cohort) -> None:
    output.fields(
        {
            "cohort": cohort.group_id,
            "state": cohort.state,
            "cases": f"{cohort.progress.done} of {cohort.cases} done",
            "not sent": _not_sent(cohort),
            "jobs": {name: count for name, count in cohort.jobs.items() if count},
            "created": cohort.created_at,
        }
    )
    counts = Counter(item.code for item in cohort.failures)
    if counts:
        examples = {item.code: item for item in reversed(cohort.failures)}
        output.table(
            ("failed", "times", "first row", "why"),
            [(code, count, examples[code].case + 1, examples[code].detail) for code, count in counts.most_common()],
            empty="",
        )


def _not_sent(cohort: Cohort) -> str:
    """Cases that nobody works on, as far as can be told: those of a run that is still sending are told once its jobs are final."""
    missing = cohort.cases - cohort.progress.done
    if not missing or any(cohort.jobs.get(state) for state in ("queued", "running")):
        return ""
    return f"{missing}; `slicebank cohort submit` with the same table says why, and sends them once they are there"


def _print_submission(output: Output, made: Submission) -> None:
    output.say(", ".join(f"{count} {state.replace('_', ' ')}" for state, count in made.counts.items()) + ".")
    bad = [item for item in made if item.code]
    counts = Counter(item.code for item in bad)
    examples = {item.code: item for item in reversed(bad)}
    if counts:
        output.table(
            ("not taken", "cases", "rows", "example", "why"),
            [
                (code, count, _rows(bad, code), examples[code].name, examples[code].detail)
                for code, count in counts.most_common()
            ],
            empty="",
        )


def _rows(bad: Sequence[CaseOutcome], code: str) -> str:
    rows = [str(item.case + 1) for item in bad if item.code == code]
    return f"{', '.join(rows[:ROWS_SHOWN])}{', ...' if len(rows) > ROWS_SHOWN else ''}"
