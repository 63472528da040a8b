"""Finding lost jobs again. Every worker sweeps; the catalogue sees to it that each finding is made once."""

from __future__ import annotations

import threading
import time

import structlog

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import QueueUnavailable
from slicebank_store.queue import TaskQueue

log = structlog.get_logger()


class Sweeper:
    """A thread that hands lost leases back and sends messages that were lost or never sent."""

    def __init__(self, catalogue: Catalogue, queue: TaskQueue, *, every_s: float, redispatch_after_s: float) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._every_s = every_s
        self._redispatch_after_s = redispatch_after_s
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
        sent = 0
        for job_id, kind in self._catalogue.jobs.sweep(time.time(), redispatch_after_s=self._redispatch_after_s):
            try:
                self._queue.dispatch(kind, job_id)
                sent += 1
            except QueueUnavailable as error:
                self._catalogue.jobs.undelivered(job_id)
                log.warning("message_not_sent", job_id=job_id, detail=str(error))
        return sent

    def _run(self) -> None:
        while not self._ended:
            try:
                self.sweep()
            except Exception:  # the catalogue may be away for a while; the next round tries again
                log.exception("sweep_failed")
            self._wake.wait(self._every_s)
            self._wake.clear()
