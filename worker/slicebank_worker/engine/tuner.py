"""Adaptive batch size: doubled or halved while that makes an encoder faster, then left alone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

# Medians of so many full batches are compared; a change must gain this much, or noise would move the size for ever.
_BATCHES = 6
_GAIN = 1.05


class BatchTuner:
    """The batch size of one encoder on one kind of device.

    It starts in the middle of a ladder of sizes and climbs: the larger neighbour is tried first, then the smaller one,
    each for a few full batches of real work. Once neither neighbour is faster it stays for good.
    """

    def __init__(self, sizes: Sequence[int], start: int) -> None:
        """Starts at one of the sizes.

        Args:
            sizes: rows of a batch, increasing.
            start: where to begin; one of them.
        """
        self._sizes = tuple(sizes)
        self._best = self._trying = self._sizes.index(start)
        self._seconds_per_row: dict[int, list[float]] = defaultdict(list)
        self._rates: dict[int, float] = {}

    @property
    def rows(self) -> int:
        """Rows of the next full batch."""
        return self._sizes[self._trying]

    @property
    def settled(self) -> bool:
        """Whether the search has ended."""
        return self._next() is None

    def record(self, rows: int, seconds: float) -> None:
        """Takes note of a batch; others than full ones of the size being tried say nothing about it."""
        if rows != self.rows or self.settled:
            return
        times = self._seconds_per_row[self._trying]
        times.append(seconds / rows)
        if len(times) < _BATCHES:
            return
        self._rates[self._trying] = 1 / statistics.median(times)
        if self._trying == self._best or self._rates[self._trying] > _GAIN * self._rates[self._best]:
            self._best = self._trying
        following = self._next()
        self._trying = self._best if following is None else following

    def limit(self, rows: int) -> None:
        """Never tries more rows than these again: a larger batch did not fit into the device's memory.

        Args:
            rows: the most that may be tried; below 1 counts as 1.
        """
        fitting = tuple(size for size in self._sizes if size <= rows)
        if fitting == self._sizes:
            return
        if not fitting:
            fitting = (max(1, rows),)
            self._rates.clear()
            self._seconds_per_row.clear()
        self._sizes = fitting
        largest = len(fitting) - 1
        self._rates = {at: rate for at, rate in self._rates.items() if at <= largest}
        self._best, self._trying = min(self._best, largest), min(self._trying, largest)

    def _next(self) -> int | None:
        """The neighbour of the best size that has not been tried."""
        if self._best not in self._rates:
            return self._best
        for neighbour in (self._best + 1, self._best - 1):
            if 0 <= neighbour < len(self._sizes) and neighbour not in self._rates:
                return neighbour
        return None
