"""`slicebank admin verify`."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_service.admin.refusing import AsJson, DataDir, settings_of

if TYPE_CHECKING:
    from slicebank_store.upkeep import Finding

# Findings that are listed, by some 500 bytes of memory each; beyond, they are counted.
_MOST = 100_000
# Lines of a table that somebody may read.
_MOST_LINES = 200


def verify(
    data_dir: DataDir = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Remove damaged bags, so that they can be made again, and orphaned blobs."),
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Look at presence and size alone; read no blob.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the catalogue with the blobs, both ways, and find jobs that nobody moves; status 1 if anything is wrong."""
    from slicebank_store.blobs import open_blobs
    from slicebank_store.catalogue import Catalogue
    from slicebank_store.upkeep import Verifier

    listed: list[Finding] = []
    counts: Counter[str] = Counter()
    wrong = 0
    with settings_of(data_dir) as settings, closing(Catalogue.open(settings.resolved_catalogue_url)) as catalogue:
        verifier = Verifier(catalogue, open_blobs(settings), quick=quick, repair=repair)
        for finding in verifier.run():
            counts[finding.code.value] += 1
            wrong += not finding.mended
            if len(listed) < _MOST:
                listed.append(finding)
    if as_json:
        findings = [finding.as_dict() for finding in listed]
        typer.echo(json.dumps({"checked": verifier.checked, "counts": counts, "findings": findings}))
    else:
        _show(listed, counts, verifier.checked)
    if wrong:
        raise typer.Exit(1)


def _show(listed: list[Finding], counts: Counter[str], checked: Counter[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    looked_at = ", ".join(f"{checked[name]} {word}" for name, word in _WORDS.items())
    console.print(f"Looked at {looked_at}.", soft_wrap=True)
    if not listed:
        console.print("Nothing is wrong.")
        return
    table = Table("what is wrong", "where", "what was or can be done")
    for finding in listed[:_MOST_LINES]:
        table.add_row(f"{finding.code}: {finding.sentence}", finding.what, finding.action)
    console.print(table)
    if counts.total() > _MOST_LINES:
        console.print(f"{counts.total() - _MOST_LINES} more: see --json.")
    console.print(", ".join(f"{count} {code}" for code, count in sorted(counts.items())) + ".", soft_wrap=True)


_WORDS = {"bag": "bags", "head": "heads", "pixels": "stacks of kept pixels", "blob": "stored blobs"}
