"""Finding lost jobs again. Every worker sweeps; the catalogue sees to it that each finding is made once."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import structlog

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.jobs import HeldLease
from slicebank_store.errors import QueueUnavailable
from slicebank_store.queue import TaskQueue
from slicebank_store.types import JobKind

log = structlog.get_logger()

_SHORTEST_PAUSE_S = 0.05


class LeaseWatch:
    """Tells leases that nobody renews, by this machine's steady clock alone: clocks of the day may be wrong here or there, and may be set."""

    def __init__(self, lease_s: float) -> None:
        """Has seen nothing yet.

        Args:
            lease_s: how long a lease lasts without a heartbeat, seconds.
        """
        self._lease_s = lease_s
        self._seen: dict[HeldLease, float] = {}

    def silent(self, held: Collection[HeldLease], steady: float) -> list[HeldLease]:
        """Those of the leases that stood unchanged for as long as a lease lasts.

        Args:
            held: every lease as it stands now.
            steady: seconds on a clock that nobody sets.
        """
        self._seen = {lease: self._seen.get(lease, steady) for lease in held}
        return [lease for lease, since in self._seen.items() if steady - since >= self._lease_s]


class Bell:
    """Rung when there may be something to do. Any thread may ring, and any number may wait: each hears every ring once."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._times = 0

    def ring(self) -> None:
        """Wakes all who wait, and those who were about to."""
        with self._rung:
            self._times += 1
            self._rung.notify_all()

    def wait(self, heard: int, timeout_s: float) -> int:
        """Waits for a ring beyond those heard.

        Args:
            heard: what the last call gave; 0 at first.
            timeout_s: the longest wait.

        Returns:
            How many rings are heard now.
        """
        with self._rung:
            self._rung.wait_for(lambda: self._times != heard, timeout_s)
            return self._times


class Sweeper:
    """A thread that hands lost leases back and sends messages that were lost or never sent.

    Attributes:
        imports: rung when an import is due: nobody sends a message at the moment when a study has been quiet for long enough.
    """

    def __init__(
        self, catalogue: Catalogue, queue: TaskQueue, *, every_s: float, redispatch_after_s: float, lease_s: float
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._every_s = every_s
        self._redispatch_after_s = redispatch_after_s
        self._watch = LeaseWatch(lease_s)
        self.imports = Bell()
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
            silent=self._watch.silent(self._catalogue.jobs.held(), time.monotonic()),
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
            pause = self._every_s
            try:
                self.sweep()
                pause = self._pause()
            except Exception:  # the catalogue may be away for a while; the next round tries again
                log.exception("sweep_failed")
            self._wake.wait(pause)
            self._wake.clear()

    def _pause(self) -> float:
        """Seconds until the next round: the moment when the next study is quiet, if that comes first."""
        now = time.time()
        due = self._catalogue.jobs.next_import(now)
        if due is None:
            return self._every_s
        if due <= now:
            self.imports.ring()
            return self._every_s
        return min(self._every_s, max(_SHORTEST_PAUSE_S, due - now))
