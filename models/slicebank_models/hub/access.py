"""How published files are reached from this machine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from slicebank_models.errors import HubOffline
from slicebank_models.hub.terms import Terms

PUBLIC_HUB = "https://huggingface.co"

OnBytes = Callable[[int, int], None]
"""Told of bytes there and bytes in all while a file comes; what it raises ends the transfer."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as a hub describes it before it is fetched.

    Attributes:
        size: Bytes; 0 where the hub does not say.
        sha256: Hex; empty where the hub does not say.
        revision: Commit; the revision asked for where there are no commits.
    """

    size: int
    sha256: str
    revision: str


class Hub(Protocol):
    """Where repositories are. `repo` is `owner/name`, after `datasets/` for one of data."""

    @property
    def name(self) -> str:
        """What people are told it is."""
        ...

    def find(self, repo: str, file: str, revision: str) -> HubFile | None:
        """Looks a file up; None where the repository has no such file.

        Raises:
            HubError: The repository cannot be asked.
        """
        ...

    def read(self, repo: str, file: str, revision: str, most: int) -> bytes:
        """Reads a small file.

        Raises:
            HubError: It is not there, cannot be had or is larger than `most` bytes.
        """
        ...

    def fetch(self, repo: str, file: str, revision: str, target: Path, on_bytes: OnBytes) -> HubFile:
        """Brings a file to `target`; what an earlier try left beside it is gone on with.

        Raises:
            HubError: It is not there or cannot be had.
        """
        ...

    def terms(self, repo: str, revision: str) -> Terms:
        """What a repository says of its licence.

        Raises:
            HubError: The repository cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class HubAccess:
    """What the settings say of hubs.

    Attributes:
        endpoint: Address of a hub, or folder of a mirror (a path or a file:// address); None for the library's own choice: HF_ENDPOINT,
            or huggingface.co.
        offline: Nothing is contacted; a folder may still be read.
    """

    endpoint: str | None = None
    offline: bool = False

    @property
    def folder(self) -> Path | None:
        """The folder of a mirror, where the endpoint is one."""
        if self.endpoint is None or self.endpoint.startswith(("http://", "https://")):
            return None
        path = unquote(urlsplit(self.endpoint).path) if self.endpoint.startswith("file:") else self.endpoint
        return Path(path).expanduser()

    @property
    def address(self) -> str:
        """Address of the hub, for sentences and pages."""
        return (self.endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")

    def page(self, place: str) -> str:
        """Address where people read of a repository; a mirror's are those of the public hub."""
        return f"{PUBLIC_HUB if self.folder is not None else self.address}/{place}"

    def open(self) -> Hub:
        """Returns the hub; nothing is contacted yet.

        Raises:
            HubOffline: Offline, and the hub is no folder.
        """
        from slicebank_models.hub.mirror import FolderMirror

        if self.folder is not None:
            return FolderMirror(self.folder)
        self.require_online()
        from slicebank_models.hub.remote import RemoteHub

        return RemoteHub(self.endpoint)

    def require_online(self) -> None:
        """Lets a hub be contacted.

        Raises:
            HubOffline: Offline, and the hub is no folder.
        """
        if self.offline and self.folder is None:
            raise HubOffline(
                "SLICEBANK_OFFLINE is set, so nothing is fetched. Bring the file on a disk and register it with "
                "`slicebank encoders add FILE` (`--id ID` for a published one), or name a folder that mirrors repositories in SLICEBANK_HUB_ENDPOINT."
            )
