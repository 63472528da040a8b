"""`slicebank encoders`: list, show."""

from __future__ import annotations

from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.session import Session
from slicebank.records import Encoder


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_encoders)
    command(app, "show")(show)


def list_encoders(session: Session) -> None:
    """List the encoders, the default first."""
    with session.client() as client:
        found = list(client.encoders.list())
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("encoder", "dim", "level", "windows", "weights", "default", "licence"),
        [
            (
                item.id,
                item.dim,
                item.level,
                item.windows,
                weights_phrase(item),
                "default" if item.default else "",
                item.licence,
            )
            for item in found
        ],
        empty="This server has no encoders.",
    )


def show(session: Session, encoder_id: Annotated[str, typer.Argument(metavar="ENCODER", help="Encoder id.")]) -> None:
    """Show one encoder's card: what it reads, its weights, licence and paper."""
    with session.client() as client:
        card = client.encoders.get(encoder_id)
    if session.output.as_json:
        session.output.json(card)
        return
    told = {name.replace("_", " "): value for name, value in card.raw.items()}
    session.output.fields({**told, "weights": weights_phrase(card)})


def weights_phrase(card: Encoder) -> str:
    """The state of the weights in words; untrained ones are called so wherever they show."""
    if card.weights == "seeded":
        return "seeded, UNTRAINED"
    if card.weights == "none":
        return "needs none"
    return card.weights if card.trained else f"{card.weights}, UNTRAINED"
