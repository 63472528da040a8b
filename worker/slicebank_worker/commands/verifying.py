"""`slicebank encoders verify`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from slicebank_worker.commands.options import DataDir, Server, refusals_said, registry_of, settings_of


def verify_encoders(
    encoders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENCODER]...", help="Encoder ids; otherwise all whose weights are stored here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.", show_default=False)] = False,
    data_dir: DataDir = None,
    server: Server = False,
) -> None:
    """Read stored weights again, every byte: exit status 1 where one was changed or is gone."""
    from rich.console import Console

    from slicebank_models.registry import EncoderRegistry
    from slicebank_models.verifying import Soundness, verify_encoder

    console = Console(highlight=False)
    registry: EncoderRegistry = registry_of(settings_of(data_dir))
    with refusals_said(console):
        checks = [verify_encoder(registry, encoder_id) for encoder_id in encoders or registry.stored_ids()]
    if as_json:
        items = [
            {"encoder_id": c.encoder_id, "soundness": c.soundness.value, "detail": c.detail, "sha256": c.sha256}
            for c in checks
        ]
        sys.stdout.write(json.dumps({"items": items}, indent=2) + "\n")
    elif not checks:
        console.print("No weights are stored here, so there is nothing to read.")
    else:
        styles = {Soundness.SOUND: "green", Soundness.NOT_STORED: "green"}
        for check in checks:
            console.print(f"[{styles.get(check.soundness, 'bold red')}]{check.soundness.value:10}[/] ", end="")
            console.print(f"{check.encoder_id}: {check.detail}", markup=False, soft_wrap=True)
    if any(check.soundness in (Soundness.DAMAGED, Soundness.MISSING) for check in checks):
        raise typer.Exit(1)
