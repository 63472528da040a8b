"""`slicebank encoders`: list, show; and with `--server`, over REST, what else is done to encoders on a machine itself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.output import size_text
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session
from slicebank.client import Client
from slicebank.errors import Conflict
from slicebank.records import Encoder, EncoderPull


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_encoders)
    command(app, "show")(show)


def list_encoders(
    session: Session,
    every: Annotated[
        bool, typer.Option("--all/--installed", help="All known encoders, or those that can embed now.")
    ] = True,
) -> None:
    """List the encoders, the default first; those whose weights are missing can be pulled or added."""
    with session.client() as client:
        found = [card for card in client.encoders.list() if every or card.usable]
        problems = client.encoders.problems()
    if session.output.as_json:
        session.output.json({"items": found, "problems": problems})
        return
    session.output.table(
        ("encoder", "rows", "level", "windows", "parameters", "weights", "default", "licence"),
        [
            (
                item.id,
                f"{item.dim}-d",
                item.level,
                item.windows,
                size_phrase(item.parameters),
                weights_phrase(item),
                "default" if item.default else "",
                item.licence,
            )
            for item in found
        ],
        empty="This server has no encoders.",
        spare=("parameters", "level", "default", "windows", "licence"),
    )
    for sentence in problems.values():
        session.output.err.print(f"Warning: {sentence}", markup=False, soft_wrap=True)


def show(session: Session, encoder_id: Annotated[str, typer.Argument(metavar="ENCODER", help="Encoder id.")]) -> None:
    """Show one encoder's card: what it reads, its weights, where they are published, licence and paper."""
    with session.client() as client:
        card = client.encoders.get(encoder_id)
    if session.output.as_json:
        session.output.json(card)
        return
    told = {name.replace("_", " "): value for name, value in card.raw.items() if name != "row_bytes"}
    if (read := told.get("input")) and read.get("volume"):
        told["input"] = {name: value for name, value in read.items() if name not in ("size", "interpolation")}
    memory = size_text(card.row_bytes) if card.row_bytes else ""
    session.output.fields({**told, "weights": weights_phrase(card), "memory a row": memory})


def pull_at_server(
    session: Session,
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER", help="A published encoder, hf:OWNER/REPO, hf:OWNER/REPO@REVISION:FILE, or timm:NAME."
        ),
    ],
    encoder_id: Annotated[str | None, typer.Option("--id", help="Id to register it under.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="What a checkpoint file is of, where it does not tell.")
    ] = None,
    windows: Annotated[str | None, typer.Option(help="Windows rendered by default, such as abdomen,lung.")] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="sha256 of the file; another is refused.")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the terms of the weights.", show_default=False)
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is registered.")] = True,
) -> None:
    """Have the server fetch published weights and register them; needs the key of an administrator."""
    output = session.output

    def ask(client: Client, accepted: bool) -> EncoderPull:
        return client.encoders.pull(
            encoder,
            accept_licence=accepted,
            encoder_id=encoder_id,
            architecture=architecture,
            windows=[name.strip() for name in windows.split(",")] if windows else None,
            sha256=sha256,
        )

    with session.client() as client:
        try:
            made = ask(client, accept_licence)
        except Conflict as refused:
            if refused.code != "licence_not_accepted" or output.as_json or not sys.stdin.isatty():
                raise
            output.err.print(refused.detail, markup=False, soft_wrap=True)
            typer.confirm("Do you accept them?", abort=True)
            made = ask(client, accepted=True)
        bar = JobsBar(output, 1)
        if not wait:
            output.json(made) if output.as_json else output.say(f"Job {made.job_id} pulls it.")
            return
        with bar:
            job = client.jobs.wait(made.job_id, on_progress=bar)
    if output.as_json:
        output.json(job)
    else:
        output.say(f"Encoder {job.result.get('encoder_id', '')} is registered at the server.")


def verify_at_server(
    session: Session,
    encoders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENCODER]...", help="Encoder ids; otherwise all whose weights are stored there."),
    ] = None,
) -> None:
    """Have the server read stored weights again, every byte: exit status 1 where one was changed or is gone."""
    with session.client() as client:
        named = encoders or [card.id for card in client.encoders.list() if card.registered or card.weights == "present"]
        checks = [client.encoders.verify(name) for name in named]
    if session.output.as_json:
        session.output.json({"items": checks})
    else:
        session.output.table(
            ("encoder", "soundness", ""),
            [(check.encoder_id, check.soundness, check.detail) for check in checks],
            empty="No weights are stored there, so there is nothing to read.",
        )
    if not all(check.sound for check in checks):
        raise typer.Exit(1)


def remove_at_server(
    session: Session,
    encoder_id: Annotated[str, typer.Argument(metavar="ENCODER", help="Encoder id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
) -> None:
    """Remove an encoder that was pulled or added at the server; bags and heads made with it stay."""
    with session.client() as client:
        if not yes:
            typer.confirm(f"Remove encoder {encoder_id} and its weights?", abort=True)
        client.encoders.remove(encoder_id)
    session.output.say(f"Encoder {encoder_id} was removed; its bags and heads stay.")


def weights_phrase(card: Encoder) -> str:
    """The state of the weights in words; untrained ones are called so wherever they show."""
    if card.weights == "seeded":
        return "seeded, UNTRAINED"
    if card.weights == "none":
        return "needs none"
    if not card.usable:
        return "lost" if card.registered else "missing, pull" if card.source is not None else "missing, add"
    return card.weights if card.trained else f"{card.weights}, UNTRAINED"


def size_phrase(parameters: int) -> str:
    """How large a network is."""
    return f"{parameters / 1e6:.1f} M" if parameters else ""
