"""Which folders hold files that nobody writes to any more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from slicebank.state import digest_of
from slicebank.upload.formats import is_junk_name


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder with files of its own.

    Attributes:
        path: the folder.
        mark: digest over names, sizes and times of its files; another when anything is written.
        files: how many there are.
    """

    path: Path
    mark: str
    files: int


def look(root: Path, leave_out: frozenset[Path] = frozenset()) -> Iterator[Seen]:
    """Walk the folders below a root, itself included, that hold files; links to folders are not followed.

    Args:
        root: resolved.
        leave_out: resolved folders that are not looked into.
    """
    if root in leave_out:
        return
    facts: list[str] = []
    below: list[Path] = []
    try:
        with os.scandir(root) as listing:
            for entry in listing:
                if is_junk_name(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(Path(entry.path))
                elif entry.is_file():
                    status = entry.stat()
                    facts.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
    except OSError:
        return  # it was moved or removed while it was looked at; the next look tells
    if facts:
        yield Seen(root, digest_of(*sorted(facts)), len(facts))
    for folder in sorted(below):
        yield from look(folder, leave_out)


class Settling:
    """Tells which folders have stayed the same for a while."""

    def __init__(self, settle_seconds: float) -> None:
        """Has seen nothing yet."""
        self._settle = settle_seconds
        self._since: Mapping[Path, tuple[str, float]] = {}

    def settled(self, seen: list[Seen], now: float) -> list[Seen]:
        """Those of a look that were the same in every look of the last seconds.

        Args:
            seen: the whole look; what is not in it is forgotten.
            now: seconds, of any clock that does not jump.
        """
        before = self._since
        self._since = {
            item.path: before[item.path]
            if item.path in before and before[item.path][0] == item.mark
            else (item.mark, now)
            for item in seen
        }
        return [item for item in seen if now - self._since[item.path][1] >= self._settle]
