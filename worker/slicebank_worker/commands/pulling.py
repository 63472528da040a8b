"""`slicebank encoders pull`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_worker.commands.options import (
    Branch,
    DataDir,
    Server,
    Sha256,
    Windows,
    print_report,
    refusals_said,
    registry_of,
    settings_of,
    window_names,
)

if TYPE_CHECKING:
    from rich.console import Console

    from slicebank_models.hub.terms import Terms


def pull_encoder(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER",
            help="A published encoder, such as biomedclip; hf:OWNER/REPO, hf:OWNER/REPO@REVISION:FILE; or timm:NAME.",
        ),
    ],
    encoder: Annotated[
        str | None, typer.Option("--id", help="Id to register it under.", show_default="the published one")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="What a checkpoint file of a repository is of, where it does not tell.")
    ] = None,
    windows: Windows = None,
    branch: Branch = "base_encoder",
    sha256: Sha256 = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the terms of the weights.", show_default=False)
    ] = False,
    data_dir: DataDir = None,
    server: Server = False,
) -> None:
    """Fetch published weights from the hub that SLICEBANK_HUB_ENDPOINT names, and register the encoder in the data folder."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from slicebank_models.hub.access import HubAccess
    from slicebank_models.hub.planning import plan_pull
    from slicebank_models.hub.pulling import pull
    from slicebank_models.hub.references import parse_reference

    console, bars = Console(highlight=False), Console(stderr=True)
    settings = settings_of(data_dir)
    registry = registry_of(settings)
    access = HubAccess(settings.hub_endpoint, settings.offline)
    with refusals_said(console):
        names = window_names(windows)
        plan = plan_pull(
            parse_reference(reference),
            registry,
            access,
            encoder_id=encoder,
            architecture=architecture,
            sha256=sha256,
        )
        registry.require_free(plan.encoder_id)
        source = plan.source
        console.print(
            f"{plan.encoder_id}: {source.file} of {source.place} at {access.address}", markup=False, soft_wrap=True
        )
        accepted = accept_licence or _accepts(console, plan.terms)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=bars, disable=not bars.is_terminal) as progress:
            task = progress.add_task("Fetching", total=None)
            pulled = pull(
                plan,
                registry,
                access.open(),
                accepted=accepted,
                on_bytes=lambda done, total: progress.update(task, completed=done, total=total),
                windows=names,
                branch=branch,
            )
    card = pulled.card
    console.print(f"Encoder [bold]{card.id}[/bold]: {card.architecture}, {card.dim}-d, {card.parameters:,} parameters.")
    if card.source is not None:
        console.print(f"File: revision {card.source.revision}, sha256 {card.source.sha256}", soft_wrap=True)
    print_report(console, pulled.report)
    console.print(f"Use it: slicebank upload FOLDER --encoder {card.id}")


def _accepts(console: Console, terms: Terms) -> bool:
    """Shows the terms, and asks whoever sits at a terminal."""
    console.print(f"Licence: {terms.licence or 'stated at its page'}", markup=False, soft_wrap=True)
    console.print(f"Terms: {terms.url}", markup=False, soft_wrap=True)
    if terms.gated:
        console.print("Its owner wants them accepted there first; pulling needs the token of that account (HF_TOKEN).")
    return sys.stdin.isatty() and typer.confirm("Do you accept them?", default=False)
