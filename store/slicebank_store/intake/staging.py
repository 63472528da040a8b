"""Staging: uploaded files between their arrival and their job's end, readable by this user alone."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from slicebank_store.errors import BadKey, UploadMissing
from slicebank_store.identity import is_id, new_id
from slicebank_store.intake.walking import statuses_below

# Begins the name of a file that lies beside an upload until all its jobs are known: the first of them may have ended by then, and must not
# take the files of the others with it.
_ARRIVING = ".arriving-"
_REMOVED = ".removed-"


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload's folder.

    Attributes:
        upload_id: 32 hex digits.
        folder: its files; named by ordinals, never by what the client called them.
    """

    upload_id: str
    folder: Path


class Staging:
    """A folder of uploads, mode 0700.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)

    def new(self) -> Upload:
        """An empty upload, which nobody removes before `settle`."""
        upload = Upload(upload_id := new_id(), self.root / upload_id)
        self._mark(upload_id).touch(mode=0o600)  # first: a sweep may come between
        upload.folder.mkdir(mode=0o700)
        return upload

    def settle(self, upload_id: str) -> None:
        """Notes that all jobs of an upload are known, or that it will have none; one that is gone is no error."""
        self._mark(upload_id).unlink(missing_ok=True)

    def path(self, upload_id: str) -> Path:
        """The folder of an upload.

        Raises:
            UploadMissing: it is gone.
            BadKey: the id is not one.
        """
        folder = self._folder(upload_id)
        if not folder.is_dir():
            msg = f"The files of upload {upload_id} are no longer in staging: upload the series again."
            raise UploadMissing(msg)
        return folder

    def exists(self, upload_id: str) -> bool:
        """Whether the upload's files are still there."""
        return is_id(upload_id) and self._folder(upload_id).is_dir()

    def discard(self, upload_id: str, *, keep: Collection[str]) -> int:
        """Removes the files of an upload that no job needs; how many there were.

        Args:
            upload_id: the upload.
            keep: paths below its folder, with forward slashes.

        Raises:
            UploadMissing: the upload is gone.
        """
        kept = frozenset(keep)
        folder = self.path(upload_id)
        removed = 0
        for path in list(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in kept:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def remove(self, upload_id: str) -> None:
        """Removes an upload that has settled; one that is gone, or still arriving, is no error."""
        if not self._mark(upload_id).exists():
            self._remove(upload_id)

    def _remove(self, upload_id: str) -> None:
        folder = self._folder(upload_id)
        # Renamed first: an upload is there as a whole or not at all, even if this process dies half way.
        doomed = folder.with_name(f"{_REMOVED}{upload_id}-{new_id()}")
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)  # a sweeper may be at it; what is left goes with the next sweep

    def sweep(
        self, in_use: Callable[[], Collection[str]], *, older_than_s: float, now: float | None = None
    ) -> list[str]:
        """Removes uploads that nobody needs.

        Args:
            in_use: gives upload ids to keep, as `Jobs.staging_in_use`.
            older_than_s: of uploads that have not settled, younger ones stay: they may still be arriving.
            now: seconds since 1970; default: the clock.

        Returns:
            The upload ids removed.
        """
        for folder in list(self.root.iterdir()):
            if folder.name.startswith(_REMOVED):
                shutil.rmtree(folder, ignore_errors=True)  # another sweeper may be at it
            elif folder.name.startswith(_ARRIVING):
                self._forget(folder, (time.time() if now is None else now) - older_than_s)
        unneeded = self.unneeded(in_use, older_than_s=older_than_s, now=now)
        for upload_id in unneeded:
            self._remove(upload_id)
            self.settle(upload_id)
        return unneeded

    def unneeded(
        self, in_use: Callable[[], Collection[str]], *, older_than_s: float, now: float | None = None
    ) -> list[str]:
        """Upload ids that `sweep` would remove."""
        limit = (time.time() if now is None else now) - older_than_s
        found = [
            folder.name
            for folder in list(self.root.iterdir())
            if is_id(folder.name) and (not self._mark(folder.name).exists() or _newest(folder) < limit)
        ]
        if not found:
            return []
        # Asked last: an upload that had settled when it was found has its jobs in the catalogue by now.
        needed = in_use()
        return [upload_id for upload_id in found if upload_id not in needed]

    def _folder(self, upload_id: str) -> Path:
        if not is_id(upload_id):
            msg = f"{upload_id[:40]!r} is not an upload id."
            raise BadKey(msg)
        return self.root / upload_id

    def _forget(self, mark: Path, limit: float) -> None:
        """Removes the mark of an upload whose process died before it had made the folder, or while it removed it."""
        with contextlib.suppress(FileNotFoundError):
            if not self._folder(mark.name.removeprefix(_ARRIVING)).exists() and mark.stat().st_mtime < limit:
                mark.unlink()

    def _mark(self, upload_id: str) -> Path:
        folder = self._folder(upload_id)
        return folder.with_name(_ARRIVING + folder.name)


def _newest(folder: Path) -> float:
    """When anything in a folder last changed: one large file may be arriving for a long time."""
    try:
        own = folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    return max((own, *(status.st_mtime for status in statuses_below(folder))))
