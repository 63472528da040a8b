"""Options that several commands share, and how a refusal is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from slicebank_models.checkpoints import MappingReport
    from slicebank_models.registry import EncoderRegistry
    from slicebank_store.settings import StoreSettings

DataDir = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Data folder of the service.", show_default="the user's data folder"),
]
Branch = Annotated[
    str, typer.Option(help="Which encoder of a MoCo-v3 training file to take: base_encoder or momentum_encoder.")
]


def _hex_digits(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise typer.BadParameter("a sha256 is 64 hexadecimal digits")
    return None if sha256 is None else sha256.lower()


Sha256 = Annotated[
    str | None,
    typer.Option(
        metavar="HEX", help="sha256 of the file; another file is refused.", show_default=False, callback=_hex_digits
    ),
]
Windows = Annotated[
    str | None,
    typer.Option(help="Windows rendered by default, in row order, such as abdomen,lung.", show_default="the card's"),
]
# Read by the command line before this command is: then the server does it, over REST.
Server = Annotated[
    bool, typer.Option("--server", help="Have the server do it, with the key of an administrator.", show_default=False)
]

# Most dropped keys are many of one kind.
_SHOWN_KEYS = 3


def settings_of(data_dir: Path | None) -> StoreSettings:
    """The settings of this machine's service; a bad one becomes a sentence on stderr and exit status 2."""
    from pydantic import ValidationError

    from slicebank_store.settings import StoreSettings

    try:
        return StoreSettings(data_dir=data_dir) if data_dir else StoreSettings()
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            typer.echo(f"SLICEBANK_{where.upper()}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None


def registry_of(settings: StoreSettings) -> EncoderRegistry:
    """The encoders of this machine."""
    from slicebank_models.registry import EncoderRegistry

    return EncoderRegistry(settings.resolved_encoders_dir)


def window_names(windows: str | None) -> tuple[str, ...] | None:
    """Names of windows that were given with commas between them.

    Raises:
        BadOption: one of them is unknown.
    """
    if windows is None:
        return None
    from slicebank_imaging.windows import parse_windows

    return tuple(window.name for window in parse_windows([name.strip() for name in windows.split(",")]))


@contextmanager
def refusals_said(console: Console) -> Iterator[None]:
    """Turns what is refused, and what the disk refuses, into a sentence and exit status 1."""
    from slicebank_imaging.errors import ImagingError
    from slicebank_models.errors import ModelsError

    try:
        yield
    except (ModelsError, ImagingError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        console.print(f"{error.strerror or error}.", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def print_report(console: Console, report: MappingReport) -> None:
    """Tells what became of every key of a checkpoint."""
    console.print(
        f"Read as {report.layout}: {len(report.mapped)} tensors mapped, {len(report.dropped)} left out on purpose."
    )
    reasons: dict[str, list[str]] = {}
    for dropped in report.dropped:
        reasons.setdefault(dropped.reason, []).append(dropped.key)
    for reason, keys in reasons.items():
        more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
        console.print(f"  left out {', '.join(keys[:_SHOWN_KEYS])}{more}: {reason}", markup=False, soft_wrap=True)
