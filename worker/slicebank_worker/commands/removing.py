"""`slicebank encoders remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from slicebank_worker.commands.options import DataDir, Server, refusals_said, registry_of, settings_of


def remove_encoder(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="Encoder id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
    data_dir: DataDir = None,
    server: Server = False,
) -> None:
    """Remove an encoder that was pulled or added; bags and heads made with it stay."""
    from rich.console import Console

    console = Console(highlight=False)
    registry = registry_of(settings_of(data_dir))
    with refusals_said(console):
        if not yes and registry.registered(encoder):
            typer.confirm(f"Remove encoder {encoder} and its weights?", abort=True)
        registry.remove(encoder)
    console.print(f"Encoder {encoder} was removed; its bags and heads stay.", markup=False)
