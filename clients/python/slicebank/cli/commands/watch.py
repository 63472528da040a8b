"""`slicebank watch`: what appears in a folder is uploaded."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.commands.imports import priority_of
from slicebank.cli.output import Output
from slicebank.cli.paths import existing_path
from slicebank.cli.session import Session
from slicebank.records import Upload
from slicebank.settings import default_state_dir
from slicebank.state import Ledger, digest_of
from slicebank.watch import Event, Watcher, WatchOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "watch")(watch)


def watch(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where studies appear.", parser=existing_path)],
    settle: Annotated[float, typer.Option(min=0, help="Seconds without a change before a folder is sent.")] = 30.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Send what is there, then end.", show_default=False)] = False,
    move_done: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Move what was taken in here.")] = None,
    move_refused: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Move what was refused here.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder id; the server's default otherwise.")] = None,
    embed: Annotated[bool, typer.Option("--embed/--no-embed", help="Embed now, or only keep the pixels.")] = True,
    retain: Annotated[bool, typer.Option("--retain", help="Keep the pixels.", show_default=False)] = False,
    priority: Annotated[str, typer.Option(help="interactive or bulk.")] = "bulk",
) -> None:
    """Upload every folder of files that appears below FOLDER, once it is quiet; Ctrl-C ends it.

    What was sent is remembered, also when the command is started again. While the server is away, it waits.
    """
    output = session.output
    if not folder.is_dir():
        raise typer.BadParameter(f"{str(folder)!r} is not a folder", param_hint="FOLDER")
    chosen = priority_of(priority)
    refused = False
    # A service manager ends programs by SIGTERM; it is the same wish as Ctrl-C.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with session.client() as client:

            def send(path: Path) -> Upload:
                return client.series.upload(
                    path, encoder=encoder, embed=embed, retain=retain, priority=chosen, below=False
                )

            root = folder.resolve()
            name = digest_of(client.url, str(root), str((encoder, embed, retain)))
            ledger = Ledger(default_state_dir() / "watch" / f"{name}.ledger")
            options = WatchOptions(settle, every, once, move_done, move_refused)
            for event in Watcher(root, send, options, ledger).run():
                refused |= event.event == "refused"
                _tell(output, event)
    except KeyboardInterrupt:
        output.note("Stopped.")
    finally:
        signal.signal(signal.SIGTERM, before)
    if once and refused:
        raise typer.Exit(1)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _tell(output: Output, event: Event) -> None:
    at = datetime.now(UTC)
    if output.as_json:
        output.json_line({"at": at, **_facts(event)})
        return
    color = {"sent": "green", "refused": "red", "waiting": "yellow", "not_moved": "red"}.get(event.event, "dim")
    facts = "  ".join(
        f"{name}={value}"
        for name, value in _facts(event).items()
        if name not in ("event", "folder", "detail", "job_ids")
    )
    detail = f"  {event.detail}" if event.detail else ""
    output.say(
        f"{at.astimezone():%Y-%m-%d %H:%M:%S}  [{color}]{event.event}[/]  {escape(event.folder)}  {escape(facts + detail)}"
    )


def _facts(event: Event) -> dict[str, object]:
    values = {name: getattr(event, name) for name in Event.__dataclass_fields__}
    return {name: value for name, value in values.items() if value not in ("", 0, ())}
