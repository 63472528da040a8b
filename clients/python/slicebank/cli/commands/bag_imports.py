"""`slicebank bags import`: bags made elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from slicebank.cli.session import Session
from slicebank.client import Client
from slicebank.errors import ApiError, BadTable, InputError
from slicebank.labels import DELIMITERS
from slicebank.records import Bag


def import_bags(
    session: Session,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="HDF5 as STAMP, TRIDENT or CLAM write it."),
    ],
    encoder: Annotated[
        str, typer.Option(metavar="external:NAME", help="What made them; all bags of a name have rows of one length.")
    ],
    patient: Annotated[str | None, typer.Option(help="PatientID of all files; hashed on arrival.")] = None,
    study_uid: Annotated[str | None, typer.Option(help="StudyInstanceUID of all files.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV with FILENAME and PATIENT, as STAMP's slide table."),
    ] = None,
    series_from_names: Annotated[
        bool,
        typer.Option(
            "--series-from-names", help="Take file names without their ending for the series.", show_default=False
        ),
    ] = False,
) -> None:
    """Bring bags made elsewhere; heads learn from them like from our own."""
    patients = {} if table is None else _patients(table, files)
    brought: list[tuple[Path, Bag]] = []
    refused: list[tuple[Path, ApiError | InputError]] = []
    with session.client() as client:
        for number, path in enumerate(files, start=1):
            said = {
                "patient": patients.get(path, patient),
                "study_uid": study_uid,
                "series_uid": path.name.removesuffix(path.suffix) if series_from_names else None,
            }
            with session.output.err.status(f"Bringing {number}/{len(files)} {escape(path.name)}"):
                _bring(client, path, encoder, said, brought, refused)
    _tell(session, brought, refused)
    if refused:
        raise typer.Exit(1)


def _bring(
    client: Client,
    path: Path,
    encoder: str,
    said: Mapping[str, str | None],
    brought: list[tuple[Path, Bag]],
    refused: list[tuple[Path, ApiError | InputError]],
) -> None:
    try:
        brought.append((path, client.bags.bring(path, encoder, **said)))
    except ApiError as error:
        # What is wrong with one file says nothing of the next; a missing key, or a server in trouble, does.
        if error.status in (401, 403) or error.status >= 500:
            raise
        refused.append((path, error))
    except InputError as error:
        refused.append((path, error))


def _tell(
    session: Session, brought: Sequence[tuple[Path, Bag]], refused: Sequence[tuple[Path, ApiError | InputError]]
) -> None:
    if session.output.as_json:
        items: list[dict[str, Any]] = [{"file": str(path), **bag.raw} for path, bag in brought]
        told = [{"file": str(path), "code": error.code, "detail": error.detail} for path, error in refused]
        session.output.json({"items": items, "refused": told})
        return
    session.output.table(
        ("file", "bag", "series", "rows", "dim"),
        [(path.name, bag.bag_id, bag.series_uid, bag.n_rows, bag.dim) for path, bag in brought],
        empty="No bag was taken.",
        spare=("series",),
    )
    for path, error in refused:
        session.output.err.print(f"{path} refused, {error.code}: {error.detail}", markup=False, soft_wrap=True)


def _patients(table: Path, files: Sequence[Path]) -> dict[Path, str]:
    """The patient of each file.

    Raises:
        BadTable: unreadable, without the two columns, or without a row for a file.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTable(f"{table} cannot be read as CSV in UTF-8.") from error
    rows = csv.DictReader(io.StringIO(text), delimiter=max(DELIMITERS, key=text.partition("\n")[0].count))
    if not {"FILENAME", "PATIENT"} <= set(rows.fieldnames or ()):
        raise BadTable(f"{table} has no columns FILENAME and PATIENT.")
    named = {Path(row["FILENAME"] or ""): row["PATIENT"] or "" for row in rows}
    found: dict[Path, str] = {}
    for path in files:
        whose = [patient for name, patient in named.items() if patient and path.parts[-len(name.parts) :] == name.parts]
        if len(set(whose)) != 1:
            raise BadTable(f"{table} names {'no' if not whose else 'more than one'} patient of {path}.")
        found[path] = whose[0]
    return found
