"""What all admin commands share: where the store is, and how a refusal is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slicebank_service.settings import ServiceSettings

DataDir = Annotated[
    Path | None,
    typer.Option(help="Data folder of the service.", file_okay=False, show_default="the user's data folder"),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@contextmanager
def settings_of(data_dir: Path | None) -> Iterator[ServiceSettings]:
    """The service's settings; a refusal inside becomes a sentence on stderr and exit status 1, a bad setting status 2."""
    from pydantic import ValidationError
    from rich.console import Console

    from slicebank_service.serving.errors import ServeError
    from slicebank_service.settings import ServiceSettings
    from slicebank_store.errors import StoreError

    console = Console(stderr=True, highlight=False)

    def say(sentence: str) -> None:
        console.print(sentence, style="red", markup=False, soft_wrap=True)

    try:
        settings = ServiceSettings(data_dir=data_dir) if data_dir is not None else ServiceSettings()
    except ValidationError as error:
        for problem in error.errors():
            say(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}")
        raise typer.Exit(2) from None
    try:
        yield settings
    except (ServeError, StoreError) as error:
        say(str(error))
        raise typer.Exit(1) from None


def in_units(n_bytes: int) -> str:
    """A number of bytes for people."""
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
