"""`slicebank bags`: list, show, download, import, delete."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.commands.bag_imports import import_bags
from slicebank.cli.commands.series import Limit
from slicebank.cli.output import size_text
from slicebank.cli.session import Session

BagId = Annotated[str, typer.Argument(metavar="BAG_ID", help="Bag.")]


class FileFormat(StrEnum):
    """Formats a bag can be downloaded in."""

    H5 = "h5"
    NPZ = "npz"
    PT = "pt"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_bags)
    command(app, "show")(show)
    command(app, "download")(download)
    command(app, "import")(import_bags)
    command(app, "delete")(delete)


def list_bags(
    session: Session,
    series_uid: Annotated[str | None, typer.Option("--series", help="Only the bags of this series.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Only the bags of this encoder.")] = None,
    limit: Limit = 100,
) -> None:
    """List the bags, newest first."""
    with session.client() as client:
        found = list(client.bags.list(series_uid=series_uid, encoder=encoder, limit=limit))
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("bag", "series", "encoder", "rows", "slices", "dim", "size"),
        [
            (bag.bag_id, bag.series_uid, bag.encoder, bag.n_rows, bag.n_slices, bag.dim, size_text(bag.size_bytes))
            for bag in found
        ],
        empty="There are no bags yet; `slicebank upload FOLDER` makes some.",
    )


def show(session: Session, bag_id: BagId) -> None:
    """Show one bag: rows, windows, encoder, checksum."""
    with session.client() as client:
        bag = client.bags.get(bag_id)
    if session.output.as_json:
        session.output.json(bag)
        return
    session.output.fields(
        {
            "bag": bag.bag_id,
            "series": bag.series_uid,
            "study": bag.study_uid,
            "encoder": bag.encoder,
            "rows": f"{bag.n_rows} of {bag.dim} numbers ({bag.dtype}), from {bag.n_slices} slices",
            "windows": [f"{item.name} {item.low:g}..{item.high:g} HU" for item in bag.windows],
            "revision": bag.revision,
            "stack": bag.stack,
            "size": size_text(bag.size_bytes),
            "sha256": bag.sha256,
            "created": bag.created_at,
        }
    )


def download(
    session: Session,
    bag_ids: Annotated[list[str], typer.Argument(metavar="BAG_ID...", help="Bags.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, or folder for several.", show_default="current folder")
    ] = None,
    format: Annotated[FileFormat, typer.Option(help="As it is kept, numpy's npz, a tensor, Parquet.")] = FileFormat.H5,  # noqa: A002
) -> None:
    """Save bags as files, each checked against its checksum."""
    if len(bag_ids) > 1 and output is not None:
        output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with session.client() as client:
        for bag_id in bag_ids:
            with session.output.err.status(f"Downloading {bag_id}"):
                written.append(client.bags.download(bag_id, output, format.value))
            session.output.say(f"{written[-1]}")
    if session.output.as_json:
        session.output.json({"files": [str(path) for path in written]})


def delete(
    session: Session,
    bag_id: BagId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
) -> None:
    """Remove a bag; the series stays."""
    if not yes and not session.output.as_json:
        typer.confirm(f"Remove bag {bag_id}?", abort=True)
    with session.client() as client:
        client.bags.delete(bag_id)
    if session.output.as_json:
        session.output.json({"deleted": bag_id})
    session.output.say(f"Bag {bag_id} is removed.")
