"""Telling the worker board how busy this process is, from a thread of its own, so that a busy job never delays it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import structlog

from slicebank_store.workers import WorkerBoard, WorkerStatus

log = structlog.get_logger()


class Reporter:
    """Posts a worker's status at once and then every few seconds while inside, and withdraws it at the end."""

    def __init__(self, board: WorkerBoard, describe: Callable[[], WorkerStatus], every_s: float) -> None:
        """Prepares the thread; it starts on entering.

        Args:
            board: where to post; it stays the caller's to close.
            describe: the status of now, asked for on the reporter's thread. If it raises, this report is left out.
            every_s: seconds between two reports; well below the board's expiry.
        """
        self._board = board
        self._describe = describe
        self._every_s = every_s
        self._posted: str | None = None
        self._failing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()  # no late report puts the worker back on the board
        if self._posted is not None:
            self._board.withdraw(self._posted)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._report()
            self._ended.wait(self._every_s)

    def _report(self) -> None:
        try:
            status = self._describe()
        except Exception:
            if not self._failing:  # once a series of failures
                log.exception("worker_not_described")
            self._failing = True
            return
        self._failing = False
        self._posted = status.name
        self._board.post(status)
