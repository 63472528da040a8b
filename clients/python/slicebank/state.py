"""Small files in which the client remembers what it was doing; names in them are digests, never a user's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

# A server forgets unfinished uploads after a day; what is older than this is of no use to anybody.
KEEP_SECONDS = 30 * 86_400.0


def digest_of(*parts: str) -> str:
    """Sha256 in hex over parts that cannot run into each other."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


class StateFolder:
    """A folder of JSON objects by key, one file each, so that processes do not overwrite each other's.

    It is a memory and not a need: where it cannot be written, things are done again that need not be.
    """

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet.

        Args:
            folder: made when the first object is written, for this user alone.
        """
        self._folder = folder

    def read(self, key: str) -> dict[str, Any] | None:
        """The object of a key; None where there is none that can be read."""
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Puts an object in the place of the one before, whole or not at all."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}.part")
            unfinished.write_text(json.dumps(value), encoding="utf-8")
            unfinished.chmod(0o600)
            unfinished.replace(path)

    def remove(self, key: str) -> None:
        """Forgets a key."""
        with contextlib.suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Forgets what was not written to for a month."""
        limit = time.time() - KEEP_SECONDS
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


class Ledger:
    """Notes by key in a file that only grows, the last word counting; any thread may write. Like `StateFolder`, a memory and not a need."""

    def __init__(self, path: Path) -> None:
        """Reads what was noted before; a line that was cut off by a crash is passed over."""
        self._path = path
        self._lock = threading.Lock()
        self._notes: dict[str, str] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            lines = []
        for line in lines:
            key, _, note = line.partition(" ")
            if note.endswith("."):
                self._notes[key] = note[:-1]

    def get(self, key: str) -> str | None:
        """The last note of a key."""
        with self._lock:
            return self._notes.get(key)

    def put(self, key: str, note: str) -> None:
        """Notes a word, without spaces, under a key."""
        with self._lock, contextlib.suppress(OSError):
            self._notes[key] = note
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The end of a line is marked, so that half of one is never taken for a note.
            with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                file.write(f"\n{key} {note}.\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
