"""`slicebank series`: list, show, delete, embed."""

from __future__ import annotations

from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.geometry import geometry_words
from slicebank.cli.session import Session

SeriesUid = Annotated[str, typer.Argument(metavar="SERIES_UID", help="SeriesInstanceUID.")]
Limit = Annotated[int, typer.Option(min=1, help="Rows at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_series)
    command(app, "show")(show)
    command(app, "delete")(delete)
    command(app, "embed")(embed)


def list_series(
    session: Session,
    study_uid: Annotated[str | None, typer.Option(help="Only the series of this study.")] = None,
    limit: Limit = 100,
) -> None:
    """List the series, newest first."""
    with session.client() as client:
        found = list(client.series.list(study_uid=study_uid, limit=limit))
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("series", "study", "slices", "body part", "added"),
        [(item.series_uid, item.study_uid, item.n_slices, item.body_part, item.created_at) for item in found],
        empty="There are no series yet; `slicebank upload FOLDER` adds some.",
    )


def show(session: Session, series_uid: SeriesUid) -> None:
    """Show one series: slices, geometry, stacks."""
    with session.client() as client:
        found = client.series.get(series_uid)
    if session.output.as_json:
        session.output.json(found)
        return
    session.output.fields(
        {
            "series": found.series_uid,
            "study": found.study_uid,
            "slices": found.n_slices,
            "revision": found.revision,
            "stacks": len(found.stacks) or None,
            "body part": found.body_part,
            "pixels kept": found.pixels_kept,
            "warnings": found.warnings,
            "added": found.created_at,
            **geometry_words(found.geometry),
        }
    )


def delete(
    session: Session,
    series_uid: SeriesUid,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
) -> None:
    """Remove a series with its bags, predictions and pixels."""
    if not yes and not session.output.as_json:
        typer.confirm(f"Remove series {series_uid} with its bags and predictions?", abort=True)
    with session.client() as client:
        client.series.delete(series_uid)
    if session.output.as_json:
        session.output.json({"deleted": series_uid})
    session.output.say(f"Series {series_uid} is removed.")


def embed(
    session: Session,
    series_uid: SeriesUid,
    encoder: Annotated[str | None, typer.Option(help="Encoder id; the server's default otherwise.")] = None,
    window: Annotated[list[str] | None, typer.Option(help="Window by name; give it again for several.")] = None,
) -> None:
    """Make another bag of a series whose pixels were kept (upload --retain)."""
    with session.client() as client:
        made = client.series.embed(series_uid, encoder=encoder, windows=window or None)
    if session.output.as_json:
        session.output.json(made)
    session.output.say(f"Job {made.job_id} makes bag {made.bag_id}; `slicebank jobs wait {made.job_id}` waits for it.")
