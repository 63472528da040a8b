"""`slicebank export`: a cohort as a folder for other people's software."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.progress import ExportBar
from slicebank.cli.session import Session


class Layout(StrEnum):
    """Whose folder the cohort becomes."""

    STAMP = "stamp"
    TRIDENT = "trident"
    CLAM = "clam"
    CLEAR = "clear"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "export")(export)


def export(
    session: Session,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", file_okay=False, help="An empty folder, or that of the same export.")
    ],
    layout: Annotated[Layout, typer.Option(help="Whose software is to read it.")],
    encoder: Annotated[
        str | None, typer.Option(help="Encoder whose bags are exported; the server's default otherwise.")
    ] = None,
    recipe_digest: Annotated[
        str | None, typer.Option("--recipe", metavar="DIGEST", help="Recipe of the bags, where there are several.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="CSV as for `heads train`: only its bags, with its labels in the tables."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse rows without a bag.", show_default=False)] = False,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Keep the pictures of the slices in the HDF5 files.", show_default=False),
    ] = False,
    attention_of: Annotated[
        str | None, typer.Option(metavar="HEAD", help="Parquet: a head, whose attention becomes a column.")
    ] = None,
) -> None:
    """Write a cohort for STAMP, TRIDENT, CLAM or CLEAR, or as Parquet; run again, it goes on and brings what is new."""
    output = session.output
    bar = ExportBar(output)
    with session.client() as client, bar:
        made = client.exports.save(
            layout.value,
            folder,
            encoder=encoder,
            recipe_digest=recipe_digest,
            labels=labels,
            strict=strict,
            thumbnails=thumbnails,
            attention_of=attention_of,
            on_progress=bar,
        )
    if output.as_json:
        output.json({**made.raw, "folder": str(made.folder), "n_sent": made.n_sent})
        return
    if made.n_unmatched:
        output.note(f"{made.n_unmatched} rows of the labels have no bag and are left out.")
    for item in made.left_out:
        output.note(f"[yellow]Warning:[/] bag {item['bag_id']} is left out: {escape(str(item['why']))}.")
    here = made.n_bags - made.n_sent
    there = f", {here} of them were there" if here > 0 else ""
    output.say(f"{made.n_bags} bags of {escape(made.encoder)} for {made.layout}{there}: {made.folder}")
