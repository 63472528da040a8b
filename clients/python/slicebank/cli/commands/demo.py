"""`slicebank demo`: the whole path on this machine, leaving nothing running."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.paths import existing_path
from slicebank.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    session: Session,
    data: Annotated[
        Path | None,
        typer.Option(
            parser=existing_path,
            metavar="PATH",
            help="Your own CT: a folder, zip or DICOM file.",
            show_default="phantoms are made",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Where the results go.")] = Path(
        "demo-output"
    ),
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the server's data folder beside the results.", show_default=False),
    ] = False,
) -> None:
    """See all of it at work: a server of its own, CT series, bags, a head, a prediction with its slices."""
    from slicebank.demo import run_demo

    run_demo(session.output, data=data, folder=output.expanduser(), keep=keep)
