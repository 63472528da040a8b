"""`slicebank encoders add`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_worker.commands.options import (
    Branch,
    DataDir,
    Sha256,
    Windows,
    print_report,
    refusals_said,
    registry_of,
    settings_of,
    window_names,
)

if TYPE_CHECKING:
    from slicebank_models.cards import EncoderCard
    from slicebank_models.checkpoints import Checkpoint
    from slicebank_models.registry import EncoderRegistry

AUTO = "auto"

_NOT_STATED = "not stated"

# MoCo's training files are called .pth.tar.
_SUFFIXES = re.compile(r"(\.(pth|pt|tar|bin|ckpt|safetensors))+$")


def add_encoder(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="safetensors or torch file, or a folder with one: plain, converted, of a MoCo-v3 training, as published or as `slicebank pretrain export` writes it.",
        ),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Name of the encoder; that of a published one takes its card.",
            show_default="the card's, or made of the file's name",
        ),
    ] = None,
    architecture: Annotated[
        str, typer.Option(help="What the weights are of, such as mambaout_tiny or vit_conv_base; auto asks the file.")
    ] = AUTO,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights.", show_default="the card's, or not stated")
    ] = None,
    description: Annotated[str, typer.Option(help="A sentence for those who choose an encoder.")] = "",
    paper: Annotated[str, typer.Option(help="Where the weights are described.")] = "",
    windows: Windows = None,
    branch: Branch = "base_encoder",
    sha256: Sha256 = None,
    data_dir: DataDir = None,
) -> None:
    """Register an encoder with weights from this machine's disk, in the data folder of this machine's service."""
    from dataclasses import replace

    from rich.console import Console

    from slicebank_models.checkpoints import open_checkpoint
    from slicebank_models.loading import install_encoder

    console = Console(highlight=False)
    registry = registry_of(settings_of(data_dir))
    with refusals_said(console):
        names = window_names(windows)
        if encoder is not None:
            registry.require_free(encoder)
        known = _known_card(registry, encoder, checkpoint, sha256)
        exported = _exported(checkpoint, architecture)
        opened = open_checkpoint(checkpoint if exported is None else exported[1], branch=branch)
        digest = None
        if known is not None:
            card = known
        else:
            card = exported[0] if exported is not None else _own_card(checkpoint, opened, encoder, architecture)
            digest = None if exported is None else card.weights_digest
            card = replace(card, id=encoder or card.id, licence=licence or card.licence)
        card = replace(card, description=description or card.description, paper=paper or card.paper)
        card = card if names is None else replace(card, windows=names)
        added, report = install_encoder(registry, card, opened, digest=digest)
    console.print(
        f"Encoder [bold]{added.id}[/bold]: {added.architecture}, {added.dim}-d, {added.parameters:,} parameters."
    )
    print_report(console, report)
    console.print(f"Use it: slicebank upload FOLDER --encoder {added.id}")


def _known_card(
    registry: EncoderRegistry, encoder_id: str | None, checkpoint: Path, sha256: str | None
) -> EncoderCard | None:
    """The card of a published encoder whose file was brought by hand, or whose weights were lost; None of one's own.

    Raises:
        WrongFile: the file is another than the pinned one.
    """
    from dataclasses import replace

    from slicebank_models.errors import UnknownEncoder, WrongFile
    from slicebank_models.stored_weights import file_sha256

    card = None
    if encoder_id is not None:
        try:
            card = registry.get(encoder_id)
        except UnknownEncoder:
            card = None
    source = None if card is None else card.source
    pinned = sha256 or ("" if source is None else source.sha256)
    found = file_sha256(checkpoint) if checkpoint.is_file() and (pinned or source is not None) else ""
    if pinned and found != pinned:
        what = f"has sha256 {found}" if found else "is a folder, which has none"
        raise WrongFile(f"{checkpoint.name} {what}, and {pinned} is pinned. Nothing was registered.")
    if card is None or source is None:
        return card
    # A healed encoder keeps the sha256 of what was published.
    return replace(card, source=replace(source, sha256=source.sha256 or found))


def _exported(checkpoint: Path, architecture: str) -> tuple[EncoderCard, Path] | None:
    """The card of a folder that has one, and its weights; an architecture that was named must be the card's."""
    from slicebank_models.errors import BadCard
    from slicebank_models.exported_folder import exported_encoder

    exported = exported_encoder(checkpoint) if checkpoint.is_dir() else None
    if exported is not None and architecture not in (AUTO, exported[0].architecture):
        raise BadCard(f"The card in {checkpoint.name} is of {exported[0].architecture}; leave --architecture out.")
    return exported


def _own_card(checkpoint: Path, opened: Checkpoint, encoder_id: str | None, architecture: str) -> EncoderCard:
    from slicebank_models.hub.planning import folder_card, plain_id
    from slicebank_models.inferring import infer_architecture
    from slicebank_models.loading import draft_for_checkpoint

    if architecture == AUTO and checkpoint.is_dir() and (card := folder_card(checkpoint, encoder_id)) is not None:
        from dataclasses import replace

        return replace(card, licence=_NOT_STATED)
    chosen = infer_architecture(opened, checkpoint.name) if architecture == AUTO else architecture
    name = encoder_id or plain_id(
        chosen, checkpoint.name if checkpoint.is_dir() else _SUFFIXES.sub("", checkpoint.name)
    )
    return draft_for_checkpoint(name, architecture=chosen, licence=_NOT_STATED)
