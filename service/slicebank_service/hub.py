"""Waiting for jobs without holding anything: one subscription a process wakes every request that waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator

import structlog

from slicebank_store.notify import JobNews
from slicebank_store.types import JobState

log = structlog.get_logger()

# Opens one subscription: None once it stands, then news; it ends or raises when the broker goes away.
Notifications = Callable[[], AsyncIterator[JobNews | None]]

# A broker that is away is asked again after this long; waiting requests look at the catalogue themselves meanwhile.
_RECONNECT_SECONDS = 1.0


class Listener:
    """One request's ear for some jobs.

    Args:
        ends_only: whether it wakes for a job's end alone, not for what comes before: an answer that is milliseconds away is not
            looked for while it is computed.
    """

    def __init__(self, *, ends_only: bool = False) -> None:
        self._ends_only = ends_only
        self._changed = asyncio.Event()

    def wake(self, state: JobState | None = None) -> None:
        """Notes that a job changed, and to what state where that is known."""
        if not (self._ends_only and state is not None and not state.final):
            self._changed.set()

    async def changed(self, timeout_s: float) -> bool:
        """Waits until a job changed since the last call, at most `timeout_s` seconds; whether one did."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class NotificationHub:
    """Hands the process's one subscription on to every request that waits.

    Notifications are hints: a listener reads the catalogue after each, and now and then without one.

    Attributes:
        connected: whether the broker has confirmed a subscription and has not gone away since.
    """

    def __init__(self, notifications: Notifications, *, reconnect_s: float = _RECONNECT_SECONDS) -> None:
        self._notifications = notifications
        self._reconnect_s = reconnect_s
        self._listeners: dict[tuple[str, str], set[Listener]] = {}
        self.connected = False

    @contextlib.contextmanager
    def listen(self, project: str, job_ids: Collection[str], *, ends_only: bool = False) -> Iterator[Listener]:
        """Hears of some jobs while inside, or of their ends only.

        Enter it before the first look at the catalogue: what changes between look and wait is then not missed.
        """
        listener = Listener(ends_only=ends_only)
        keys = [(project, job_id) for job_id in job_ids]
        for key in keys:
            self._listeners.setdefault(key, set()).add(listener)
        try:
            yield listener
        finally:
            for key in keys:
                ears = self._listeners[key]
                ears.discard(listener)
                if not ears:
                    del self._listeners[key]

    def wake(self, project: str, job_id: str, state: JobState | None = None) -> None:
        """Wakes who listens to a job; to be called on the event loop."""
        for listener in self._listeners.get((project, job_id), ()):
            listener.wake(state)

    def _wake_all(self) -> None:
        """Wakes everybody: without news they look for themselves, and more often."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake()

    async def run(self) -> None:
        """Listens until cancelled, and subscribes again whenever the broker went away."""
        silent = False
        while True:
            try:
                async for news in self._notifications():
                    self.connected, silent = True, False
                    if news is not None:
                        self.wake(news.project, news.job_id, news.state)
            except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, waiting goes on by looking
                if not silent:  # once an outage
                    log.warning("notifications_interrupted", error=type(error).__name__)
                silent = True
            finally:
                if self.connected:
                    self.connected = False
                    self._wake_all()
            await asyncio.sleep(self._reconnect_s)
