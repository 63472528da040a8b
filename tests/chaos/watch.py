"""How many rows the workers encoded, as they tell it themselves; a killed one tells no more than it had told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from slicebank_store.errors import QueueUnavailable
from slicebank_store.workers import WorkerStatus

_EVERY_S = 0.2


class RowsWatch:
    """Reads the worker board again and again, because killed workers leave it; use it as a context manager."""

    def __init__(self, read_board: Callable[[], list[WorkerStatus]]) -> None:
        """Notes what was encoded before.

        Args:
            read_board: what the living workers say.
        """
        self._read_board = read_board
        self._before = {worker.name: worker.rows_total for worker in read_board()}
        self._rows: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rows-watch")

    def rows(self) -> int:
        """Rows encoded since the beginning, at least."""
        self._look()
        return sum(rows - self._before.get(name, 0) for name, rows in list(self._rows.items()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            board = self._read_board()
        except QueueUnavailable:  # the broker is one of the things that break
            return
        for worker in board:
            self._rows[worker.name] = max(self._rows.get(worker.name, 0), worker.rows_total)
