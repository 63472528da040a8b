"""What every command shares: which server, and how to speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from slicebank.cli.output import Output
from slicebank.client import Client
from slicebank.retrying import Waiting


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """Options that may stand before the command or after it."""

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    data_dir: Path | None = None
    timeout: float | None = None
    as_json: bool = False

    def over(self, outer: GlobalOptions) -> GlobalOptions:
        """Take from `outer` what is not set here."""
        return GlobalOptions(
            url=self.url or outer.url,
            api_key=self.api_key or outer.api_key,
            data_dir=self.data_dir or outer.data_dir,
            timeout=self.timeout or outer.timeout,
            as_json=self.as_json or outer.as_json,
        )


DEFAULT_TIMEOUT = 30.0
# Long enough not to fill a screen while a queue empties, short enough to show that the command lives.
TELL_AGAIN_SECONDS = 60.0


class Session:
    """One run of one command."""

    def __init__(self, options: GlobalOptions) -> None:
        self.options = options
        self.output = Output(as_json=options.as_json)

    def client(self) -> Client:
        """A client of the server these options name.

        Raises:
            ServerNotFound: they name none, and none is known.
        """
        chosen = self.options
        return Client(
            chosen.url,
            chosen.api_key,
            data_dir=chosen.data_dir,
            timeout=chosen.timeout or DEFAULT_TIMEOUT,
            on_wait=PatienceNotes(self.output),
        )


class PatienceNotes:
    """Tells a person why nothing seems to happen: at once, and then now and again."""

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._told: tuple[str, float] | None = None

    def __call__(self, waiting: Waiting) -> None:
        """Writes a sentence, unless the same was written lately."""
        detail = waiting.error.detail.rstrip(".")
        now = self._clock()
        if self._told is not None and self._told[0] == detail and now - self._told[1] < TELL_AGAIN_SECONDS:
            return
        self._told = (detail, now)
        who = "The service asks to wait" if waiting.busy else "Trying again in"
        self._output.note(f"[yellow]{who} {max(1, round(waiting.seconds))} s:[/] {escape(detail)}.")
