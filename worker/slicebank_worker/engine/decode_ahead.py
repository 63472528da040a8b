"""Slices that decode ahead of whoever reads them: a few, in order, on the process's decoding threads."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

T = TypeVar("T")


class DecodeAhead(Generic[T]):
    """The next slices of one series, in the making."""

    def __init__(self, decoders: Executor, ahead: int, decode: Callable[[int], T], n_slices: int) -> None:
        """Starts none yet.

        Args:
            decoders: the process's decoding threads.
            ahead: slices in the making at once.
            decode: makes slice i; called on the decoding threads.
            n_slices: how many there are.
        """
        self._decoders = decoders
        self._ahead = ahead
        self._decode = decode
        self._upcoming = iter(range(n_slices))
        self._waiting: deque[tuple[int, Future[T]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def fill(self) -> None:
        """Starts as many as may be in the making."""
        while len(self._waiting) < self._ahead and (index := next(self._upcoming, None)) is not None:
            run = contextvars.copy_context().run
            self._waiting.append((index, self._decoders.submit(run, self._decode, index)))

    def pop(self) -> tuple[int, Future[T]]:
        """The next slice in order."""
        return self._waiting.popleft()

    def cancel(self) -> None:
        """Drops what has not begun."""
        for _, future in self._waiting:
            future.cancel()
