"""How busy an embed worker is, over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from slicebank_store.workers import BoundBy
from slicebank_worker.engine.usage import Usage

# Long enough for many batches of a slow encoder, short enough to follow what happens.
WINDOW_S = 30.0
# A device this busy is what holds the work back; decoding threads are never as busy, they also wait for files.
_DEVICE_BOUND = 0.85
_DECODE_BOUND = 0.6


@dataclass(frozen=True, slots=True)
class Reading:
    """Rates and shares over one window.

    Attributes:
        window_s: its length, seconds.
        rows_per_second: rows encoded a second.
        utilisation: share of the window in which devices were encoding, the mean over runners.
        decode_share: share of the decoding threads' time that was used.
        bound_by: what held the work back.
    """

    window_s: float
    rows_per_second: float
    utilisation: float
    decode_share: float
    bound_by: BoundBy


class Gauge:
    """Remembers what was done when, for one window."""

    def __init__(self, usage: Callable[[], Usage], decoding_s: Callable[[], float], decode_threads: int) -> None:
        """Starts an empty window.

        Args:
            usage: what the engine has done up to now.
            decoding_s: seconds that decoding threads have worked up to now.
            decode_threads: how many there are.
        """
        self._usage = usage
        self._decoding_s = decoding_s
        self._decode_threads = decode_threads
        self._seen: deque[tuple[float, Usage, float]] = deque()

    def read(self, now: float) -> Reading:
        """The window that ends now.

        Args:
            now: seconds on any steady clock, increasing from call to call.
        """
        usage, decoding = self._usage(), self._decoding_s()
        self._seen.append((now, usage, decoding))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_S:
            self._seen.popleft()
        since, before, decoding_before = self._seen[0]
        window = now - since
        if window <= 0:
            return Reading(0.0, 0.0, 0.0, 0.0, "idle")
        # A batch counts when it ends, so that one begun before the window may count whole.
        utilisation = min(1.0, (usage.busy_s - before.busy_s) / window / usage.runners)
        decode_share = min(1.0, (decoding - decoding_before) / window / self._decode_threads)
        bound: BoundBy = "idle"
        if utilisation >= _DEVICE_BOUND:
            bound = "device"
        elif decode_share >= _DECODE_BOUND:
            bound = "decode"
        return Reading(window, (usage.rows - before.rows) / window, utilisation, decode_share, bound)
