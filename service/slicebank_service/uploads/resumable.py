"""Resumable uploads as they lie in staging, for any process to ask.

The offset is the size of the file, so a process that is killed loses nothing that was written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slicebank_service.errors import UnknownUpload
from slicebank_service.intake.asked import IntakeQuery
from slicebank_service.uploads.state import UploadState, states_below
from slicebank_store.identity import is_id
from slicebank_store.intake import Staging

_BODY = "body"
# Holds the offset from which bytes were not yet checked against the checksum that they came with.
_UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """One upload.

    Attributes:
        folder: in staging; as long as it stands there, nothing else tells of the upload.
        kept_s: how long it is kept when nothing comes.
    """

    upload_id: str
    folder: Path
    state: UploadState
    kept_s: float

    @property
    def body(self) -> Path:
        """The file that the bytes are in, until they are taken in."""
        return self.folder / _BODY

    @property
    def offset(self) -> int:
        """Bytes that have arrived and count.

        Raises:
            UnknownUpload: it was removed meanwhile.
        """
        if self.state.answered:
            return self.state.length
        try:
            size = self.body.stat().st_size
        except FileNotFoundError:
            raise unknown(self.upload_id) from None
        with suppress(FileNotFoundError):
            # Empty where its writer died before the first of those bytes.
            return min(size, int((self.folder / _UNVERIFIED).read_text() or size))
        return size

    @property
    def complete(self) -> bool:
        """Whether all bytes have arrived."""
        return self.offset == self.state.length

    @property
    def expires_at(self) -> float:
        """Seconds since 1970 after which it is removed, if nothing more comes."""
        newest = 0.0
        for path in (self.folder, self.body):
            with suppress(FileNotFoundError):
                newest = max(newest, path.stat().st_mtime)
        return newest + self.kept_s

    def begin_unverified(self, offset: int) -> None:
        """Notes that what follows does not count before it is verified."""
        (self.folder / _UNVERIFIED).write_text(str(offset))

    def verified(self) -> None:
        """Lets it count."""
        (self.folder / _UNVERIFIED).unlink(missing_ok=True)

    def cut(self, offset: int) -> None:
        """Removes everything after an offset."""
        os.truncate(self.body, offset)

    def recover(self) -> None:
        """Removes what was never verified; the holder of the lock asks."""
        if not self.state.answered and (self.folder / _UNVERIFIED).exists():
            self.cut(self.offset)
            self.verified()

    def keep(self, state: UploadState) -> ResumableUpload:
        """Writes what became of it, and removes the bytes."""
        state.write(self.folder)
        self.body.unlink(missing_ok=True)
        return ResumableUpload(self.upload_id, self.folder, state, self.kept_s)


class ResumableUploads:
    """The resumable uploads of one project."""

    def __init__(
        self, staging: Staging, project: str, *, kept_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Looks at nothing yet.

        Args:
            staging: where they lie; its sweep removes those that expired.
            project: whose they are.
            kept_s: how long one is kept when nothing comes, seconds.
            clock: seconds since 1970, as the file system's.
        """
        self._staging = staging
        self._project = project
        self._kept_s = kept_s
        self._clock = clock

    def create(self, length: int, suffix: str, asked: IntakeQuery) -> ResumableUpload:
        """An upload of which nothing has arrived."""
        place = self._staging.new()
        state = UploadState(project=self._project, length=length, suffix=suffix, asked=asked)
        (place.folder / _BODY).touch(mode=0o600)
        state.write(place.folder)  # last: the upload is there as a whole or not at all
        return ResumableUpload(place.upload_id, place.folder, state, self._kept_s)

    def get(self, upload_id: str) -> ResumableUpload:
        """The upload as it is now.

        Raises:
            UnknownUpload: the project has none of this id, or it expired.
        """
        if not is_id(upload_id):
            raise unknown(upload_id)
        folder = self._staging.root / upload_id
        try:
            state = UploadState.read(folder)
        except FileNotFoundError:
            raise unknown(upload_id) from None
        found = ResumableUpload(upload_id, folder, state, self._kept_s)
        if state.project != self._project or found.expires_at < self._clock():
            raise unknown(upload_id)
        return found

    def open_ones(self) -> int:
        """How many of the project hold bytes, or room for them."""
        found = 0
        for folder in states_below(self._staging.root):
            if not (folder / _BODY).exists():
                continue  # answered: many of those lie there until they expire
            with suppress(UnknownUpload):
                found += not self.get(folder.name).state.answered
        return found

    def remove(self, upload_id: str) -> None:
        """Removes an upload with its bytes."""
        self._staging.settle(upload_id)
        self._staging.remove(upload_id)


def unknown(upload_id: str) -> UnknownUpload:
    """That there is no such upload."""
    return UnknownUpload(f"There is no upload {upload_id[:40]}, or it expired: begin it again.")
