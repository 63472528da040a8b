"""How many bytes lie in staging, without looking at every file every time."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slicebank_store.identity import is_id
from slicebank_store.intake.walking import statuses_below

# An upload whose newest file is older than this has arrived; the clients of one that still comes write many times a second.
_SETTLED_S = 30.0
# Looking at a folder of thousands of uploads takes milliseconds, and a second's bytes are few beside any limit.
_KEEP_S = 1.0


@dataclass(frozen=True, slots=True)
class _Weight:
    size: int
    folder_changed_ns: int
    settled: bool


class StagedBytes:
    """Bytes of every upload in staging, of all projects and all processes that share the folder. Any thread may ask.

    An upload is measured again until it stands still, and whenever files of its folder come or go.
    """

    def __init__(self, root: Path, *, keep_s: float = _KEEP_S, clock: Callable[[], float] = time.time) -> None:
        """Measures nothing yet.

        Args:
            root: the staging folder.
            keep_s: how long an answer is given again.
            clock: seconds since 1970, as the file system's.
        """
        self._root = root
        self._keep_s = keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._weights: dict[str, _Weight] = {}
        self._answer: Mapping[str, int] = {}
        self._answered_at = float("-inf")

    def by_upload(self) -> Mapping[str, int]:
        """Bytes by upload id; a folder that is away holds nothing."""
        with self._lock:
            now = time.monotonic()
            if now - self._answered_at >= self._keep_s:
                self._weights = dict(self._weigh_all())
                self._answer = {name: weight.size for name, weight in self._weights.items()}
                self._answered_at = now
            return self._answer

    def total(self) -> int:
        """Bytes of all uploads."""
        return sum(self.by_upload().values())

    def _weigh_all(self) -> list[tuple[str, _Weight]]:
        try:
            with os.scandir(self._root) as entries:
                folders = [entry for entry in entries if is_id(entry.name)]
        except FileNotFoundError:
            return []
        found = []
        for folder in folders:
            try:
                changed = folder.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            known = self._weights.get(folder.name)
            if known is None or not known.settled or known.folder_changed_ns != changed:
                known = self._weigh(Path(folder.path), changed)
            found.append((folder.name, known))
        return found

    def _weigh(self, folder: Path, changed_ns: int) -> _Weight:
        size, newest = 0, changed_ns / 1e9
        for status in statuses_below(folder):
            newest = max(newest, status.st_mtime)
            if stat.S_ISREG(status.st_mode):
                size += status.st_size
        return _Weight(size, changed_ns, settled=self._clock() - newest > _SETTLED_S)
