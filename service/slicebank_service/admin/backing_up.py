"""`slicebank admin backup` and `slicebank admin restore`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_service.admin.refusing import DataDir, in_units, settings_of

if TYPE_CHECKING:
    from slicebank_store.upkeep.backup import BackedUp


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, or to replace.", dir_okay=False)],
    data_dir: DataDir = None,
) -> None:
    """Write all rows of the catalogue to a file, while everything goes on."""
    from slicebank_service import __version__
    from slicebank_store.upkeep.backup import back_up

    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.absolute().parent}", param_hint="FILE")
    with settings_of(data_dir) as settings:
        done = back_up(settings.resolved_catalogue_url, file.absolute(), software=f"slicebank {__version__}")
        _say(f"Backed up {_rows(done)} to {file} ({in_units(done.size_bytes)}, mode 0600).")
        _say(
            f"The pseudonym keys are not in it: back {settings.resolved_keys_dir} up apart, or patients can not be "
            "matched again. Nor are blobs."
        )


def restore(
    file: Annotated[Path, typer.Argument(help="File of `slicebank admin backup`.", dir_okay=False)],
    data_dir: DataDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Lose what the catalogue holds; without it, it must be empty.")
    ] = False,
) -> None:
    """Make the catalogue what it was when it was backed up; every API and worker must be stopped."""
    from slicebank_service.serving.data_dir import only_one
    from slicebank_store.upkeep.backup import restore as restore_catalogue

    with settings_of(data_dir) as settings, only_one(settings.resolved_data_dir):
        done = restore_catalogue(settings.resolved_catalogue_url, file, replace=replace)
        taken = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(done.created_at))
        _say(f"Restored {_rows(done)} as of {taken}.")
        _say(
            f"The pseudonym keys are not in a backup: {settings.resolved_keys_dir} must hold those of that time. Then "
            "run `slicebank admin verify`: blobs may have come and gone since."
        )


def _rows(done: BackedUp) -> str:
    named = ", ".join(f"{done.counts.get(table, 0)} {table}" for table in ("series", "bags", "jobs", "heads"))
    return f"{sum(done.counts.values())} rows ({named})"


def _say(sentence: str) -> None:
    from rich.console import Console

    Console(highlight=False).print(sentence, markup=False, soft_wrap=True)
