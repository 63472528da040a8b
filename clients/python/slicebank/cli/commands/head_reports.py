"""`slicebank heads report` and `plots`: what is known of a head, as a page and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.session import Session

_HeadName = Annotated[str, typer.Argument(metavar="HEAD", help="Name of a head, or id of one version.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "report")(report)
    command(app, "plots")(plots)


def report(
    session: Session,
    head: _HeadName,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="File to write.")] = Path("report.html"),
) -> None:
    """Save everything about a head as one HTML page: figures, data, protocol, and where it looks."""
    with session.client() as client:
        client.heads.report(head, out)
    if session.output.as_json:
        session.output.json({"report": str(out)})
    session.output.say(f"Report of {head}: {out}")


def plots(
    session: Session,
    head: _HeadName,
    out: Annotated[Path, typer.Option("--out", "-o", file_okay=False, help="Folder to write to.")] = Path("plots"),
) -> None:
    """Save every figure of a head as SVG."""
    saved = []
    with session.client() as client:
        for plot in client.heads.plots(head):
            path = out / (f"{plot.name}.svg" if plot.part == "pooled" else f"{plot.name}_{plot.part}.svg")
            client.heads.plot(head, plot.name, path, part=plot.part)
            saved.append({"name": plot.name, "part": plot.part, "path": str(path)})
    if session.output.as_json:
        session.output.json({"items": saved})
        return
    session.output.table(
        ("figure", "cases", "file"),
        [(item["name"], item["part"], item["path"]) for item in saved],
        empty="This head's training left no figures.",
    )
