"""Whether new work may come in: limits on what waits, and room on the disks. Asked before a body is read, so that refusing is cheap."""

from __future__ import annotations

import errno
import math
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slicebank_service.errors import QueueFull, StagingFull, StorageFull
from slicebank_service.settings import ServiceSettings
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import CatalogueUnavailable
from slicebank_store.intake import StagedBytes
from slicebank_store.types import JobKind, JobState

# Jobs that wait for the embed workers, and those that wait for the trainer.
EMBED_KINDS = (JobKind.EMBED, JobKind.IMPORT)
TRAIN_KINDS = (JobKind.TRAIN, JobKind.EVALUATE)
PREDICT_KINDS = (JobKind.PREDICT,)

# A count is used again for this long: hundreds of uploads a second cost one query, and overshoot the limit by as many.
_KEEP_S = 1.0
# Where no rate was measured yet, and at most: a client that sleeps for long misses that the queue has emptied.
_RETRY_S = 5
_LONGEST_RETRY_S = 60
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Admission:
    """Says no, with a reason and a time, or nothing. Any thread may ask; whoever asks on an event loop goes to a thread first."""

    def __init__(
        self,
        settings: ServiceSettings,
        catalogue: Catalogue,
        staged: StagedBytes,
        disks: Mapping[str, Path],
        *,
        keep_s: float = _KEEP_S,
    ) -> None:
        """Counts nothing yet.

        Args:
            settings: the limits and the project they are of.
            catalogue: counts queued jobs.
            staged: counts bytes in staging.
            disks: a folder on each disk that must not fill up, by what lies there.
            keep_s: how long counts are used again.
        """
        self._settings = settings
        self._catalogue = catalogue
        self._staged = staged
        self._disks = disks
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._kept: dict[object, tuple[float, int | str]] = {}

    def check_upload(self, length: int | None) -> None:
        """Lets an upload begin; once it has, it is refused only for want of room on a disk.

        Args:
            length: bytes of the body, where the client says so.

        Raises:
            StorageFull: it would fill a disk.
            QueueFull, StagingFull: too much waits already.
            CatalogueUnavailable: nobody can say.
        """
        self.check_disks(length or 0)
        self.check_queue(EMBED_KINDS)
        limit = self._settings.max_staging_bytes
        # Whose bytes they are is asked only where there are too many.
        if self._staged.total() >= limit and (mine := self._kept_value("staged", self._my_bytes)) >= limit:
            raise StagingFull(
                f"staging is full: {mine} bytes of uploads wait for their jobs, and {limit} may; send this one again later",
                retry_after_seconds=self._retry_after(EMBED_KINDS),
            )

    def check_queue(self, kinds: Collection[JobKind]) -> None:
        """Lets a new job be made.

        Args:
            kinds: of jobs that share a queue.

        Raises:
            QueueFull: too many of them are queued.
            CatalogueUnavailable: nobody can say.
        """
        limit, project = self._settings.max_queued_jobs, self._settings.project
        queued = self._kept_value(tuple(kinds), lambda: self._catalogue.backlog.queued(project, kinds, at_most=limit))
        if queued >= limit:
            raise QueueFull(
                f"the queue is full: {limit} jobs wait, and no more may; ask again when some are done",
                retry_after_seconds=self._retry_after(kinds),
            )

    def check_disks(self, more: int = 0) -> None:
        """Lets bytes be written.

        Args:
            more: how many are about to be, to the disk of staging.

        Raises:
            StorageFull: less than `min_free_bytes` would be left.
        """
        for what, free in self.free_bytes().items():
            if free - (more if what == "staging" else 0) < self._settings.min_free_bytes:
                raise StorageFull(
                    f"the disk of {what} has {free} bytes left, and {self._settings.min_free_bytes} are kept free; "
                    "free space there and send the upload again"
                )

    def free_bytes(self) -> dict[str, int]:
        """Bytes left on each disk, by what lies there."""
        # A folder that nothing was written to yet is made at the first write.
        return {what: shutil.disk_usage(_existing(folder)).free for what, folder in self._disks.items()}

    def _my_bytes(self) -> int:
        mine = self._catalogue.backlog.staged(self._settings.project)
        return sum(size for upload_id, size in self._staged.by_upload().items() if upload_id in mine)

    def _retry_after(self, kinds: Collection[JobKind]) -> int:
        """Seconds until a place is free, judged by how long the last jobs took and how many run; whole, at least 1."""
        return self._kept_value(("retry", *kinds), lambda: self._seconds_a_place(kinds))

    def _seconds_a_place(self, kinds: Collection[JobKind]) -> int:
        seconds = self._catalogue.backlog.seconds_a_job(self._settings.project, kinds)
        if seconds is None:
            return _RETRY_S
        running = sum(
            depth.jobs
            for depth in self._catalogue.backlog.depths()
            if depth.kind in kinds and depth.state is JobState.RUNNING
        )
        return max(1, min(_LONGEST_RETRY_S, math.ceil(seconds / max(1, running))))

    def _kept_value(self, key: object, ask: Callable[[], int]) -> int:
        with self._lock:  # one asks, the others wait for its answer
            asked_at, answer = self._kept.get(key, (float("-inf"), 0))
            if time.monotonic() - asked_at >= self._keep_s:
                try:
                    answer = ask()
                except CatalogueUnavailable as error:
                    # Kept too: those who waited must not wait for a silent database one after the other.
                    answer = str(error)
                self._kept[key] = (time.monotonic(), answer)
        if isinstance(answer, str):
            raise CatalogueUnavailable(answer)
        return answer


@contextmanager
def full_disks_said() -> Iterator[None]:
    """Turns the system's "no space left" into a refusal.

    Raises:
        StorageFull: the disk was full, whatever was kept free.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull("the disk of staging is full; free space there and send the upload again") from error


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
