"""Holding jobs: leases are renewed from one thread, so that a busy job never loses its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from slicebank_store.catalogue.jobs import Beat, Jobs, Lease
from slicebank_store.notify import Notifier
from slicebank_worker.errors import JobCancelled, LeaseLost, WorkerStopping
from slicebank_worker.stages import StageTimes

log = structlog.get_logger()


class Hold(StageTimes):
    """One job in this worker's hands: its progress, its stage times, and whether it may go on."""

    def __init__(self, lease: Lease, stopping: threading.Event, renew: Callable[[Hold], None]) -> None:
        super().__init__()
        self.lease = lease
        self.done: int | None = None
        self.total: int | None = None
        self.unit: str | None = None
        self.beat = Beat.OK
        self._stopping = stopping
        self._renew = renew
        self.renewing = threading.Lock()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Notes how far the job is; the next heartbeat carries it."""
        self.done, self.total, self.unit = done, total, unit

    def report(self) -> None:
        """Renews the lease and tells the progress now, then lets the job go on or ends it: for the moment before results are stored.

        Raises:
            Interrupted: as `check`.
        """
        self._renew(self)
        self.check()

    @property
    def interrupted(self) -> bool:
        """Whether `check` would end the job."""
        return self.beat is not Beat.OK or self._stopping.is_set()

    def check(self) -> None:
        """Lets the job go on, or ends it.

        Raises:
            LeaseLost: another worker owns the job.
            JobCancelled: somebody asked for its end.
            WorkerStopping: this process is being shut down.
        """
        if self.beat is Beat.LOST:
            raise LeaseLost(self.lease.job.job_id)
        if self.beat is Beat.CANCEL:
            raise JobCancelled(self.lease.job.job_id)
        if self._stopping.is_set():
            raise WorkerStopping(self.lease.job.job_id)


class Leases:
    """Every job this process holds, and the thread that renews their leases."""

    def __init__(self, jobs: Jobs, notifier: Notifier, *, lease_s: float, heartbeat_s: float) -> None:
        self._jobs = jobs
        self._notifier = notifier
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._holds: set[Hold] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    @contextmanager
    def hold(self, lease: Lease) -> Iterator[Hold]:
        """Keeps a lease alive while inside."""
        hold = Hold(lease, self.stopping, self._renew)
        with self._lock:
            self._holds.add(hold)
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.discard(hold)

    def renew(self, job_id: str) -> None:
        """Renews the lease of a job at once, if it is held here, and so hears what was decided about it."""
        with self._lock:
            holds = [hold for hold in self._holds if hold.lease.job.job_id == job_id]
        for hold in holds:
            self._renew(hold)

    @property
    def held(self) -> int:
        """Jobs in this process's hands."""
        with self._lock:
            return len(self._holds)

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            with self._lock:
                holds = list(self._holds)
            for hold in holds:
                self._renew(hold)

    def _renew(self, hold: Hold) -> None:
        with hold.renewing:  # an older progress must not be written after a newer one
            self._beat(hold)

    def _beat(self, hold: Hold) -> None:
        job = hold.lease.job
        try:
            hold.beat = self._jobs.heartbeat(
                hold.lease,
                lease_s=self._lease_s,
                done=hold.done,
                total=hold.total,
                unit=hold.unit,
                stages=dict(hold.stages),
            )
        except Exception:
            # The catalogue may be away for a while; a lease that really ran out is found by the next beat.
            log.exception("heartbeat_failed", job_id=job.job_id)
            return
        if hold.beat is not Beat.LOST:
            self._notifier.publish(job.project, job.job_id, job.state)
