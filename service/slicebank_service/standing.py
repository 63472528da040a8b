"""Where queued jobs stand and when they will have ended, for hundreds of clients that ask every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from slicebank_store.catalogue import JobRecord
from slicebank_store.types import JobState

# A place in a line of many moves by few a second.
_KEEP_S = 2.0
# Clients poll every few seconds; a job that nobody asked about for longer is asked of the ledger no more.
_FORGET_S = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one queued job stands.

    Attributes:
        position: 1 for the next of its queue to start.
        eta_seconds: until it will have ended; None where there is nothing to judge by.
    """

    position: int
    eta_seconds: float | None


class Ledger(Protocol):
    """The part of the job ledger that looks ahead."""

    def standings(self, records: Collection[JobRecord]) -> dict[str, tuple[int, float | None]]:
        """Place and seconds until the end, by job id, of those that are queued."""
        ...


@dataclass(slots=True)
class _Known:
    job: JobRecord
    place: Place | None
    looked_at: float
    asked_at: float


class Standing:
    """Places of jobs, at most two seconds old.

    To place one job the ledger goes through the whole queue, and to place hundreds it does so once: so when one place is too old,
    all that were asked about lately are looked up with it. Any thread may ask.
    """

    def __init__(self, ledger: Ledger, *, keep_s: float = _KEEP_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._keep_s = keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def of(self, jobs: Collection[JobRecord]) -> dict[str, Place]:
        """Places by job id; of queued jobs alone."""
        queued = [job for job in jobs if job.state is JobState.QUEUED]
        if not queued:
            return {}
        with self._lock:
            now = self._clock()
            new = [job for job in queued if job.job_id not in self._known]
            if any(self._is_old(job.job_id, now) for job in queued if job.job_id in self._known):
                self._known = {
                    job_id: known for job_id, known in self._known.items() if now - known.asked_at < _FORGET_S
                }
                self._look(queued + [known.job for known in self._known.values()], now)
            elif new:
                self._look(new, now)
            for job in queued:
                self._known[job.job_id].asked_at = now
            places = {job.job_id: self._known[job.job_id].place for job in queued}
        return {job_id: place for job_id, place in places.items() if place is not None}

    def _is_old(self, job_id: str, now: float) -> bool:
        return now - self._known[job_id].looked_at >= self._keep_s

    def _look(self, jobs: Collection[JobRecord], now: float) -> None:
        found = self._ledger.standings({job.job_id: job for job in jobs}.values())
        for job in jobs:
            at = found.get(job.job_id)
            known = self._known.get(job.job_id)
            place = None if at is None else Place(*at)
            self._known[job.job_id] = _Known(job, place, now, now if known is None else known.asked_at)
