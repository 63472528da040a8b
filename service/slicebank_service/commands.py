"""The command `slicebank serve`. Imports at the top stay light: the CLI reads this module to list its commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 takes a free one.", show_default="8000 or the next free one"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", file_okay=False, show_default="the user's data folder"),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
) -> None:
    """Run the whole service here: broker, API and workers, until Ctrl-C."""
    if sys.platform == "win32":
        typer.echo("slicebank serve needs Linux or macOS; on Windows run it below WSL 2.", err=True)
        raise typer.Exit(1)

    from pydantic import ValidationError
    from rich.console import Console

    from slicebank_service.dicom_network.settings import ListenerSettings
    from slicebank_service.serving.banner import print_banner
    from slicebank_service.serving.errors import ServeError
    from slicebank_service.serving.listening import check_free
    from slicebank_service.serving.supervisor import Supervisor
    from slicebank_store.errors import StoreError

    console = Console(highlight=False)
    options = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        settings = ListenerSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            console.print(f"SLICEBANK_{where.upper()}: {problem['msg']}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    supervisor = Supervisor(
        settings,
        port=settings.port if "port" in settings.model_fields_set else None,
        tell=lambda sentence: console.print(sentence, style="yellow", markup=False, soft_wrap=True),
        listens=settings.listen_port is not None,
    )
    try:
        if settings.listen_port:
            check_free(settings.listen_host, settings.listen_port)
        supervisor.run(ready=lambda serving: print_banner(console, settings, serving))
    except (ServeError, StoreError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console.print("slicebank has stopped.")
