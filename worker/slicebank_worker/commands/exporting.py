"""`slicebank pretrain export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slicebank_worker.commands.options import refusals_said


class Form(StrEnum):
    """What is written."""

    SLICEBANK = "slicebank"
    MOCO = "moco"


class Branch(StrEnum):
    """Which of a run's two encoders."""

    BASE = "base_encoder"
    MOMENTUM = "momentum_encoder"


def export_pretraining(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="RUN", help="Folder of the run.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--id", help="Name of the encoder.", show_default="made of the architecture and the folder's name"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder to write.", show_default="RUN/encoder")
    ] = None,
    branch: Annotated[
        Branch, typer.Option(help="The encoder that gradients trained, or the one that followed it.")
    ] = Branch.BASE,
    form: Annotated[
        Form, typer.Option(help="A folder that `slicebank encoders add` takes, or a training file as MoCo v3 saves it.")
    ] = Form.SLICEBANK,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Store matrices in half precision; rounds them.", show_default=False)
    ] = False,
    input_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the slices that the encoder shall read, pixels; convolutional networks read any multiple of 32.",
            show_default="that of the views",
            min=32,
            max=1024,
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    description: Annotated[
        str, typer.Option(help="A sentence for those who choose an encoder.", show_default="what it was trained on")
    ] = "",
    paper: Annotated[
        str, typer.Option(help="Where the weights are described.", show_default="the paper of the method")
    ] = "",
) -> None:
    """Write the encoder of a pre-training run: weights and card for `slicebank encoders add`, or a MoCo v3 training file."""
    from rich.console import Console

    from slicebank_models.hub.planning import plain_id
    from slicebank_models.pretraining.exporting import CardText, export_encoder, export_training_file, open_run

    console = Console(highlight=False)
    if form is Form.MOCO and (fp16 or input_size is not None or branch is not Branch.BASE):
        raise typer.BadParameter(
            "a training file holds both encoders in float32 and no input size: leave --fp16, --input-size and --branch out"
        )
    with refusals_said(console):
        checkpoint, spec = open_run(run)
        name = encoder or plain_id(spec.model.architecture, run.resolve().name)
        folder = out or run / "encoder"
        if form is Form.MOCO:
            written = export_training_file(run, folder / f"{plain_id(name)}.pth.tar")
            console.print(
                f"Step {checkpoint.step:,} of {spec.model.architecture}: {written}", markup=False, soft_wrap=True
            )
            console.print(f"Use it: slicebank encoders add {written}", markup=False, soft_wrap=True)
            return
        text = CardText(licence, description, paper)
        card = export_encoder(
            run, folder, encoder_id=name, branch=branch.value, half=fp16, input_size=input_size, text=text
        )
    size = (folder / (card.weights_file or "")).stat().st_size
    console.print(
        f"Encoder [bold]{card.id}[/bold] of step {checkpoint.step:,}: {card.architecture}, {card.dim}-d, {card.parameters:,} "
        f"parameters, {size / 1e6:.1f} MB, {card.input_size} pixels, windows {', '.join(card.windows)}.",
        soft_wrap=True,
    )
    console.print(f"Use it: slicebank encoders add {folder}", markup=False, soft_wrap=True)
