"""The command `slicebank listen`. Imports at the top stay light: the CLI reads this module to list its commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer


def listen(
    aet: Annotated[str | None, typer.Option(help="Its own AE title.", show_default="SLICEBANK")] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.", show_default="11112")
    ] = None,
    calling: Annotated[
        list[str] | None, typer.Option(help="AE title that may send; may be given several times.", show_default="all")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", file_okay=False, show_default="the user's data folder"),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
) -> None:
    """Take CT studies from scanners and PACS over the DICOM network, until Ctrl-C; workers run elsewhere."""
    from pydantic import ValidationError

    from slicebank_service.dicom_network.process import run
    from slicebank_service.dicom_network.settings import ListenerSettings

    options = {
        "listen_aet": aet,
        "listen_host": host,
        "listen_port": port,
        "listen_calling_aets": None if calling is None else ",".join(calling),
        "data_dir": data_dir,
        "log_level": log_level,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        settings = ListenerSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            typer.echo(f"{where}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
    # What arrives, patients' data among it, is its owner's alone.
    os.umask(0o077)

    def ready(where: str, number: int) -> None:
        typer.echo(f"slicebank listens as {settings.listen_aet} on {where}:{number}", err=True)

    raise typer.Exit(run(settings, ready=ready))
