"""How long a run has trained, and how fast."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RunClock:
    """Seconds of training, without pauses, and the rate since it was last asked for.

    Args:
        before: Seconds that earlier parts of the run took.
        now: Seconds of a steady clock.
    """

    def __init__(self, before: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._origin = self._now() - before
        self._asked = self.seconds
        self._slices = 0

    @property
    def seconds(self) -> float:
        """Of training so far."""
        return self._now() - self._origin

    def count(self, slices: int) -> None:
        """Adds slices that were trained on."""
        self._slices += slices

    def rate(self) -> float:
        """Slices a second since the last call."""
        now = self.seconds
        rate = self._slices / max(now - self._asked, 1e-9)
        self._asked, self._slices = now, 0
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out the time spent inside."""
        began = self._now()
        try:
            yield
        finally:
            self._origin += self._now() - began
