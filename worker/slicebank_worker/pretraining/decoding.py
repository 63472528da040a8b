"""Slices decoded on threads, in order and a few ahead, so that memory does not grow with the data set."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def default_workers() -> int:
    """Threads where nobody says how many: one a core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def in_order(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Generator[Made, None, None]:
    """Yields `make(item)` of every item in turn; what `make` raises is raised in its turn.

    Args:
        make: Called on several threads.
        items: Drawn from as there is room.
        workers: Threads; twice as many items are in the making or wait.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as threads:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(make, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
