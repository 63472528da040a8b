"""`slicebank admin gc`."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated

import typer

from slicebank_service.admin.refusing import AsJson, DataDir, in_units, settings_of

_WORDS = {
    "orphan": "orphaned blobs",
    "foreign": "foreign blobs",
    "unfinished": "half-written files",
    "upload": "uploads that no job names",
}


def gc(
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    foreign: Annotated[
        bool,
        typer.Option(
            "--foreign", help="Also remove blobs that no job of this catalogue made; stop all workers before."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove blobs and uploads that nobody needs, and the rest of what was deleted."""
    from rich.console import Console

    from slicebank_store.blobs import open_blobs
    from slicebank_store.catalogue import Catalogue
    from slicebank_store.intake import StagedBytes, Staging
    from slicebank_store.upkeep import collect

    with settings_of(data_dir) as settings, closing(Catalogue.open(settings.resolved_catalogue_url)) as catalogue:
        done = collect(
            catalogue,
            open_blobs(settings),
            Staging(settings.resolved_staging_dir),
            StagedBytes(settings.resolved_staging_dir),
            failed_within_s=settings.staging_ttl_seconds,
            idle_upload_s=settings.staging_orphan_seconds,
            foreign=foreign,
            dry_run=dry_run,
        )
    if as_json:
        removed = {sort: {"count": done.count[sort], "bytes": done.size[sort]} for sort in _WORDS}
        typer.echo(json.dumps({"dry_run": dry_run, "removed": removed, "foreign_left": done.foreign_left}))
        return
    console = Console(highlight=False)
    console.print("Would be removed:" if dry_run else "Removed:")
    for sort, words in _WORDS.items():
        console.print(f"  {done.count[sort]} {words}, {in_units(done.size[sort])}")
    if done.foreign_left:
        console.print(
            f"{done.foreign_left} blobs were made by no job of this catalogue and were left alone: see "
            "`slicebank admin verify`.",
            soft_wrap=True,
        )
