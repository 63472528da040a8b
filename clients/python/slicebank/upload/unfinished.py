"""Uploads that a killed client left unfinished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slicebank.state import StateFolder, digest_of


class UnfinishedUploads:
    """Where each unfinished upload is, by what was being sent to whom and how."""

    def __init__(self, state_dir: Path) -> None:
        """Opens nothing yet.

        Args:
            state_dir: the client's folder for what it remembers.
        """
        self._state = StateFolder(state_dir / "uploads")

    def find(self, key: str) -> str | None:
        """Id of the upload on its server; None where nothing is unfinished."""
        found = self._state.read(key) or {}
        upload_id = found.get("upload_id")
        return upload_id if isinstance(upload_id, str) and upload_id else None

    def note(self, key: str, upload_id: str) -> None:
        """Remembers an upload that was begun."""
        self._state.tidy()
        self._state.write(key, {"upload_id": upload_id})

    def forget(self, key: str) -> None:
        """Forgets an upload that is done, or that its server does not know any more."""
        self._state.remove(key)


def upload_key(url: str, query: Mapping[str, object], stream: str) -> str:
    """Names an upload by the server, what is asked of it, and the bytes, so that other bytes begin anew."""
    asked = "&".join(f"{name}={value}" for name, value in sorted(query.items()) if value is not None)
    return digest_of(url, asked, stream)
