"""Times on shared, noisy machines: variants take turns in one run, and only ratios of medians are quoted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one variant, seconds, in the order measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median, seconds."""
        return statistics.median(self.seconds)

    def spread(self) -> float:
        """Interquartile range over the median: how noisy the machine was."""
        if len(self.seconds) < 4:
            return (max(self.seconds) - min(self.seconds)) / self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


def take_turns(
    variants: Mapping[str, Callable[[], object]], rounds: int, *, between: Callable[[], object] = lambda: None
) -> dict[str, Timing]:
    """Runs every variant once to warm it, then all of them in turn, `rounds` times.

    Args:
        variants: name to what is timed.
        rounds: times each is measured.
        between: called after each run, outside the time measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()
        between()
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
            between()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
