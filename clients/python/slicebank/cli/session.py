"""What every command shares: which server, and how to speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from slicebank.cli.output import Output
from slicebank.client import Client


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
        return Client(chosen.url, chosen.api_key, data_dir=chosen.data_dir, timeout=chosen.timeout or DEFAULT_TIMEOUT)
