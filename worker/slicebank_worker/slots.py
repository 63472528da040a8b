"""One hand of a worker stays free of bulk jobs, so that whoever waits at a screen never stands behind a running cohort."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slicebank_store.catalogue.jobs import Lease
from slicebank_store.types import Priority

ClaimNext = Callable[[tuple[Priority, ...]], Lease | None]
"""Takes the next job of the given priorities."""


class Slots:
    """Bounds the bulk jobs that a worker holds at once."""

    def __init__(self, jobs_at_once: int) -> None:
        """Starts with empty hands.

        Args:
            jobs_at_once: how many jobs the worker runs side by side; with one there is nothing to keep free.
        """
        self._most_bulk = max(1, jobs_at_once - 1)
        self._bulk = 0
        self._lock = threading.Lock()

    @contextmanager
    def take(self, claim_next: ClaimNext) -> Iterator[Lease | None]:
        """Claims a job that there is a hand for, and counts it while inside; None where there is none."""
        with self._lock:  # two threads must not take the last hand
            free = self._bulk < self._most_bulk
            lease = claim_next(tuple(Priority) if free else (Priority.INTERACTIVE,))
            bulk = lease is not None and lease.job.priority is Priority.BULK
            self._bulk += bulk
        try:
            yield lease
        finally:
            with self._lock:
                self._bulk -= bulk
