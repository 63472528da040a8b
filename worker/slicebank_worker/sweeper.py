"""Finding lost jobs again. Every worker sweeps; the catalogue sees to it that each finding is made once."""

from __future__ import annotations

import threading
import time

import structlog

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import QueueUnavailable
from slicebank_store.queue import TaskQueue
from slicebank_store.types import JobKind

log = structlog.get_logger()

# Time servers slew small differences; more than this at once is somebody setting the clock, or a machine that slept.
_JUMP_S = 5.0


class WallClock:
    """Tells when the machine's clock was set: all leases then seem to have run out, and their holders need a moment to renew them."""

    def __init__(self, pause_s: float) -> None:
        """Starts without a jump.

        Args:
            pause_s: how long after a jump leases are left alone, seconds.
        """
        self._pause_s = pause_s
        self._offset: float | None = None
        self._quiet_until = 0.0

    def jumped(self, wall: float, steady: float) -> bool:
        """Whether the clock was set within the last `pause_s`.

        Args:
            wall: seconds since 1970.
            steady: seconds on a clock that nobody sets.
        """
        offset = wall - steady
        if self._offset is not None and abs(offset - self._offset) > _JUMP_S:
            log.warning("clock_was_set", seconds=round(offset - self._offset))
            self._quiet_until = steady + self._pause_s
        self._offset = offset
        return steady < self._quiet_until


class Sweeper:
    """A thread that hands lost leases back and sends messages that were lost or never sent."""

    def __init__(
        self, catalogue: Catalogue, queue: TaskQueue, *, every_s: float, redispatch_after_s: float, lease_s: float
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._every_s = every_s
        self._redispatch_after_s = redispatch_after_s
        self._clock = WallClock(pause_s=lease_s)
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Has the thread look now: a job ended, and others may have waited for it."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread."""
        self._ended = True
        self._wake.set()
        self._thread.join()

    def sweep(self) -> int:
        """Looks once; how many messages were sent."""
        now = time.time()
        due = self._catalogue.jobs.sweep(
            now,
            redispatch_after_s=self._redispatch_after_s,
            idle=self._idle_queues(),
            expire=not self._clock.jumped(now, time.monotonic()),
        )
        sent = 0
        for job in due:
            try:
                self._queue.dispatch(job.kind, job.job_id, job.priority)
                sent += 1
            except QueueUnavailable as error:
                self._catalogue.jobs.undelivered(job.job_id)
                log.warning("message_not_sent", job_id=job.job_id, detail=str(error))
        return sent

    def _idle_queues(self) -> list[str]:
        try:
            return [queue for queue in dict.fromkeys(kind.queue for kind in JobKind) if not self._queue.waiting(queue)]
        except QueueUnavailable:
            return []  # messages that cannot be sent are not worth marking; the next round asks again

    def _run(self) -> None:
        while not self._ended:
            try:
                self.sweep()
            except Exception:  # the catalogue may be away for a while; the next round tries again
                log.exception("sweep_failed")
            self._wake.wait(self._every_s)
            self._wake.clear()
