"""`slicebank imports` and `slicebank sources`: studies pulled from a PACS."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from slicebank.cli.command import command
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session
from slicebank.records import Job, JobState

Kernel = Annotated[
    list[str] | None,
    typer.Option(help="Pattern of the kernel; ! before it leaves such series out. Give it again for several."),
]
Description = Annotated[list[str] | None, typer.Option(help="Pattern of the series description, as --kernel.")]
Modality = Annotated[list[str] | None, typer.Option(help="Modality; CT by default.")]
MinThickness = Annotated[float | None, typer.Option(metavar="MM", help="Thinnest slices taken.")]
MaxThickness = Annotated[float | None, typer.Option(metavar="MM", help="Thickest slices taken.")]
MinImages = Annotated[int | None, typer.Option(min=1, help="Fewest images of a series.")]
LargestOnly = Annotated[
    bool, typer.Option("--largest-only", help="Only the series with the most images.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands of imports."""
    command(app, "create")(create)


def register_sources(app: typer.Typer) -> None:
    """Add the commands of sources."""
    command(app, "list")(list_sources)


def list_sources(session: Session) -> None:
    """List the PACS that the server's settings name."""
    with session.client() as client:
        found = list(client.sources.list())
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("source", "kind"),
        [(item.name, item.kind) for item in found],
        empty="The server knows no PACS; SLICEBANK_PACS or SLICEBANK_PACS_FILE in its settings names some.",
    )


def create(
    session: Session,
    source: Annotated[str, typer.Option(help="PACS, as `slicebank sources list` names it.")],
    study_uid: Annotated[list[str] | None, typer.Option(help="StudyInstanceUID; give it again for several.")] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Studies by DICOM keyword, such as StudyDate=20240101-20240131."),
    ] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Studies that a query may find.")] = None,
    modality: Modality = None,
    kernel: Kernel = None,
    description: Description = None,
    min_thickness: MinThickness = None,
    max_thickness: MaxThickness = None,
    min_images: MinImages = None,
    largest_only: LargestOnly = False,
    encoder: Annotated[str | None, typer.Option(help="Encoder id; the server's default otherwise.")] = None,
    embed: Annotated[bool, typer.Option("--embed/--no-embed", help="Embed now, or only keep the pixels.")] = True,
    retain: Annotated[bool, typer.Option("--retain", help="Keep the pixels.", show_default=False)] = False,
    priority: Annotated[str | None, typer.Option(help="interactive or bulk.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the studies are pulled.")] = True,
) -> None:
    """Have the server pull studies, a job each."""
    output = session.output
    with session.client() as client:
        made = client.imports.create(
            source,
            study_uids=study_uid or None,
            query=pairs(query) if query else None,
            select=selection(modality, kernel, description, min_thickness, max_thickness, min_images, largest_only),
            limit=most,
            encoder=encoder,
            embed=embed,
            retain=retain,
            priority=priority_of(priority),
        )
        bar = JobsBar(output, len(made.job_ids))
        jobs: tuple[Job, ...] = ()
        if wait:
            with bar:
                jobs = client.jobs.wait_all(made.job_ids, on_progress=bar)
    if output.as_json:
        output.json({**made.raw, "finished": jobs if wait else None})
    else:
        states = {job.job_id: job for job in jobs}
        rows = []
        for item in made.jobs:
            job = states.get(item.job_id)
            rows.append(
                (
                    item.study_uid,
                    item.job_id,
                    str(job.state) if job is not None else "queued",
                    len(job.result["series"]) if job is not None and "series" in job.result else None,
                    _told(job),
                )
            )
        output.table(("study", "job", "state", "series", ""), rows, empty="There is no such study.")
    if any(job.state is not JobState.SUCCEEDED for job in jobs):
        raise typer.Exit(1)


def _told(job: Job | None) -> str:
    if job is None:
        return ""
    if job.error is not None:
        return f"{job.error.detail} ({job.error.code})"
    # With C-MOVE the PACS sends to the listener, and the job of what arrived there knows the series.
    arrival = job.result.get("arrival_job_id")
    return f"sent to the listener; `slicebank jobs wait {arrival}` tells its series" if arrival else ""


def selection(
    modality: list[str] | None,
    kernel: list[str] | None,
    description: list[str] | None,
    min_thickness: float | None,
    max_thickness: float | None,
    min_images: int | None,
    largest_only: bool,
) -> dict[str, Any]:
    """Rules for series as the server takes them; what is not asked is left out."""
    rules: dict[str, Any] = {
        "modality": modality,
        "kernel": kernel,
        "description": description,
        "min_thickness_mm": min_thickness,
        "max_thickness_mm": max_thickness,
        "min_images": min_images,
        "largest_only": largest_only,
    }
    return {name: value for name, value in rules.items() if value}


def priority_of(text: str | None) -> Literal["interactive", "bulk"] | None:
    """A priority as people write it."""
    if text is None:
        return None
    if text == "bulk":
        return "bulk"
    if text == "interactive":
        return "interactive"
    raise typer.BadParameter("priority is interactive or bulk", param_hint="--priority")


def pairs(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE, several times."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--query")
        found[name] = value
    return found
