"""The command `slicebank encoders add`. Imports at the top stay light: the CLI reads this module to list its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_encoder(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="safetensors or torch file: plain, converted, or of a MoCo-v3 training."
        ),
    ],
    encoder: Annotated[str, typer.Option("--id", help="Name of the new encoder, such as mambaout_tiny.lecl0.")],
    architecture: Annotated[str, typer.Option(help="What the weights are of, such as mambaout_tiny or vit_conv_base.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights.")],
    description: Annotated[str, typer.Option(help="A sentence for those who choose an encoder.")] = "",
    paper: Annotated[str, typer.Option(help="Where the weights are described.")] = "",
    windows: Annotated[str, typer.Option(help="Windows rendered by default, in row order.")] = "abdomen,lung",
    branch: Annotated[
        str, typer.Option(help="Which encoder of a MoCo-v3 training file to take: base_encoder or momentum_encoder.")
    ] = "base_encoder",
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Data folder of the service.", show_default="the user's data folder"),
    ] = None,
) -> None:
    """Register an encoder with your own weights in the data folder of this machine's service."""
    from rich.console import Console

    from slicebank_imaging.errors import ImagingError
    from slicebank_imaging.windows import parse_windows
    from slicebank_models.cards import draft_card
    from slicebank_models.errors import ModelsError
    from slicebank_models.loading import install_encoder
    from slicebank_models.registry import EncoderRegistry
    from slicebank_store.settings import StoreSettings

    console = Console(highlight=False)
    settings = StoreSettings(data_dir=data_dir) if data_dir else StoreSettings()
    try:
        names = tuple(window.name for window in parse_windows([name.strip() for name in windows.split(",")]))
        card = draft_card(encoder, architecture, licence=licence, paper=paper, description=description, windows=names)
        added, report = install_encoder(
            EncoderRegistry(settings.resolved_encoders_dir), card, checkpoint, branch=branch
        )
    except (ModelsError, ImagingError) as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(
        f"Encoder [bold]{added.id}[/bold]: {added.architecture}, {added.dim}-d, {added.parameters:,} parameters."
    )
    console.print(
        f"Read as {report.layout}: {len(report.mapped)} tensors mapped, {len(report.dropped)} left out on purpose."
    )
    for dropped in report.dropped:
        console.print(f"  left out {dropped.key}: {dropped.reason}")
    console.print(f"Use it: slicebank upload FOLDER --encoder {added.id}")
