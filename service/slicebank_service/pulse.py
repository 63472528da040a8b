"""Whether something answers, for those who cannot wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from slicebank_store.blobs import BlobStore
from slicebank_store.errors import StoreError

# A load balancer gives a probe a few seconds in all.
_PATIENCE_S = 1.0


class Pulse:
    """Asks on a thread of its own, one question at a time; a question that hangs costs its askers a second each and no more threads."""

    def __init__(self, ask: Callable[[], bool], *, patience_s: float = _PATIENCE_S) -> None:
        """Asks nothing yet.

        Args:
            ask: whether it answers; may hang.
            patience_s: how long to wait for a new answer, seconds.
        """
        self._ask = ask
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._answered: threading.Event | None = None
        self._last = False

    def beats(self) -> bool:
        """The answer of now, or False where there is none in time."""
        with self._lock:
            if self._answered is None:
                self._answered = threading.Event()
                threading.Thread(target=self._look, args=(self._answered,), name="pulse", daemon=True).start()
            answered = self._answered
        return answered.wait(self._patience_s) and self._last

    def _look(self, answered: threading.Event) -> None:
        alive = False
        try:
            alive = self._ask()
        finally:
            with self._lock:
                self._last, self._answered = alive, None
            answered.set()


def blobs_answer(blobs: BlobStore) -> bool:
    """Whether the blob store answers at all."""
    try:
        blobs.exists("ready/ready")  # any key does: what counts is an answer
    except StoreError:
        return False
    return True
