"""Asking again: after a refusal that says when, and while a server that was there is being restarted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from slicebank.errors import ApiError, ConnectionFailed, RequestTimedOut, SlicebankError, TooManyRequests

T = TypeVar("T")

# Where the server names no time: doubled from the first to the longest.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
# A time the server names is believed up to here.
LONGEST_NAMED_S = 60.0
# Clients that were refused together come back spread over this share of the pause.
JITTER = 0.2

UNAVAILABLE = 503
GATEWAY = (502, 504)
CRASHED = 500


@dataclass(frozen=True, slots=True)
class Retries:
    """How long one request is tried again, seconds.

    Attributes:
        outage: while the server, or a part of it, is away. Starting again takes it seconds.
        busy: while it answers that too much waits already. A full queue empties at the speed of the workers.
    """

    outage: float = 60.0
    busy: float = 3600.0


NO_RETRIES = Retries(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pause before a request is tried again.

    Attributes:
        seconds: how long it is.
        tries: requests that were made so far.
        error: why the last one failed.
    """

    seconds: float
    tries: int
    error: SlicebankError

    @property
    def busy(self) -> bool:
        """Whether the server works and asks for patience, rather than being away."""
        return isinstance(self.error, TooManyRequests)


OnWait = Callable[[Waiting], object]


class Retrier:
    """Runs the requests of one client. Any thread may use it.

    A server that never answered is not waited for: its address is more likely wrong than its start slow.
    """

    def __init__(
        self,
        retries: Retries,
        on_wait: OnWait | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Knows nothing of the server yet.

        Args:
            retries: how long requests are tried again.
            on_wait: told of each pause before it.
            sleep: pauses, seconds.
            clock: seconds.
        """
        self._retries = retries
        self._on_wait = on_wait
        self._sleep = sleep
        self._clock = clock
        self._answered = False

    def run(self, attempt: Callable[[int], T], *, repeatable: bool, known: bool = False) -> T:
        """Makes a request, again and again where that may help and can do no harm.

        Args:
            attempt: makes it once; given the number of requests before it.
            repeatable: making it twice is as good as once, so that it may be repeated when the answer was lost.
            known: the server must have answered before, to somebody; even a crash of it is waited out.

        Raises:
            SlicebankError: of the last try; its detail says how many there were.
        """
        began = since = self._clock()
        kind: bool | None = None
        tries = 0
        while True:
            try:
                answer = attempt(tries)
            except SlicebankError as error:
                tries += 1
                now = self._clock()
                busy = isinstance(error, TooManyRequests)
                if busy is not kind:
                    kind, since = busy, now
                    if tries == 1:
                        began = now
                self._answered |= isinstance(error, ApiError)
                pause = self._pause(error, tries, repeatable=repeatable, known=known)
                limit = self._retries.busy if busy else self._retries.outage
                overall = max(self._retries.busy, self._retries.outage)
                if pause is None or now - since + pause > limit or now - began + pause > overall:
                    raise _with_tries(error, tries, now - began) from error.__cause__
                if self._on_wait is not None:
                    self._on_wait(Waiting(pause, tries, error))
                self._sleep(pause)
            else:
                self._answered = True
                return answer

    def _pause(self, error: SlicebankError, tries: int, *, repeatable: bool, known: bool) -> float | None:
        """Seconds until the next try; None where another makes no sense."""
        named: float | None = None
        there = known or self._answered
        if isinstance(error, ApiError):
            named = error.retry_after
            again = (
                isinstance(error, TooManyRequests)
                or error.status == UNAVAILABLE
                or (error.status in GATEWAY and repeatable)
                or (error.status == CRASHED and known)
            )
        elif isinstance(error, ConnectionFailed):
            again = there and (repeatable or not error.reached)
        else:
            again = isinstance(error, RequestTimedOut) and there and repeatable
        if not again:
            return None
        if named is None:
            named = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10))
        return min(max(named, 0.0), LONGEST_NAMED_S) * (1 + random.uniform(0, JITTER))  # noqa: S311 - spreads clients


def _with_tries(error: SlicebankError, tries: int, seconds: float) -> SlicebankError:
    if tries > 1:
        error.detail = f"{error.detail} Tried {tries} times in {seconds:.0f} s."
        error.args = (error.detail,)
    return error
