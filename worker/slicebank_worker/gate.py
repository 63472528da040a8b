"""Jobs side by side, or one alone: a job whose workers fell silent is run beside no other, so that the right one is convicted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets any number of ordinary jobs in, or one that must be alone.

    A waiting lonely job lets no more ordinary ones pass, so that it is not kept waiting for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._lonely_inside = False
        self._lonely_waiting = 0

    @contextmanager
    def enter(self, *, alone: bool) -> Iterator[None]:
        """Waits for its turn, and holds it while inside."""
        with self._changed:
            if alone:
                self._lonely_waiting += 1
                self._changed.wait_for(lambda: self._inside == 0)
                self._lonely_waiting -= 1
            else:
                self._changed.wait_for(lambda: not self._lonely_inside and self._lonely_waiting == 0)
            self._inside += 1
            self._lonely_inside = alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._lonely_inside = False
                self._changed.notify_all()
