"""One engine a process, one thread a runner: each takes batches from what waits and feeds its device.

A GPU has one runner. A CPU has one a core, each computing on a single thread: two halves of a machine that work on two batches never
wait for each other, where one batch on all cores is as slow as its most disturbed core, layer by layer.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from slicebank_worker.engine.lanes import EncoderKey, Lanes, RowStream, Ticket
from slicebank_worker.engine.parcels import Encoded, Parcel
from slicebank_worker.engine.shelf import Batch, EncoderShelf
from slicebank_worker.engine.tuner import BatchTuner
from slicebank_worker.engine.usage import Usage
from slicebank_worker.errors import DeviceMemoryShort, WorkerError

log = structlog.get_logger()


class EngineClosed(WorkerError):
    """Rows were offered to an engine that has been closed."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How batches are made.

    Attributes:
        batch_sizes: rows of a full batch that may be tried, increasing.
        first_size: the one to begin with.
        fill_wait_s: how long an idle device waits for a batch to fill, counted from its oldest slice.
        at_once: batches of one encoder that may be in hand at once, over all runners; None for as many as there are runners.
    """

    batch_sizes: tuple[int, ...]
    first_size: int
    fill_wait_s: float = 0.01
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class _Launched:
    """A batch on its way through the device."""

    key: EncoderKey
    tickets: list[Ticket]
    rows: int
    depth: int
    finish: Callable[[], Batch]


class Engine:
    """Encodes the rows of all running jobs in shared batches.

    Args:
        shelves: the encoders of each runner's device; runners of one device share one shelf.
        limits: how batches are made; by encoder, where rows of one take more memory than those of another.
        begin: called first on every runner's thread, with its number.
    """

    def __init__(
        self,
        shelves: Sequence[EncoderShelf],
        limits: EngineLimits | Callable[[EncoderKey], EngineLimits],
        begin: Callable[[int], None] | None = None,
    ) -> None:
        self._shelves = tuple(shelves)
        self._limits_of: Callable[[EncoderKey], EngineLimits] = limits if callable(limits) else lambda _: limits
        self._limits: dict[EncoderKey, EngineLimits] = {}
        self._in_hand: Counter[EncoderKey] = Counter()
        self._lanes = Lanes()
        self._tuners: dict[EncoderKey, BatchTuner] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._warming: list[deque[EncoderKey]] = [deque() for _ in self._shelves]
        self._numerics: dict[EncoderKey, dict[str, Any]] = {}
        self._batches, self._rows, self._busy_s, self._halvings = 0, 0, 0.0, 0
        self._threads = [
            threading.Thread(target=self._run, args=(number, begin), name=f"engine-{number}", daemon=True)
            for number in range(len(self._shelves))
        ]
        for thread in self._threads:
            thread.start()

    def rows_in_hand(self, key: EncoderKey) -> int:
        """Rows that a job should have waiting or on the device, so that no runner ever waits for it alone."""
        with self._changed:
            limits = self._key_limits(key)
        runners = len(self._shelves) if limits.at_once is None else min(limits.at_once, len(self._shelves))
        return 2 * runners * limits.batch_sizes[-1]

    @contextmanager
    def stream(self, key: EncoderKey, *, interactive: bool) -> Iterator[RowStream]:
        """The place of one job's rows; leaving it drops what still waits."""
        with self._changed:
            stream = self._lanes.open(key, interactive=interactive)
        try:
            yield stream
        finally:
            with self._changed:
                self._lanes.close(stream)

    def submit(self, stream: RowStream, parcel: Parcel) -> Future[Encoded]:
        """Queues the W rows of one slice, or the one volume of a scan; the future gives their features (W, D).

        Raises:
            EngineClosed: the engine has ended.
        """
        with self._changed:
            if self._closed:
                raise EngineClosed("the encoder engine of this worker has ended")
            future = self._lanes.put(stream, parcel)
            self._changed.notify_all()
        return future

    def warm(self, key: EncoderKey) -> None:
        """Has an encoder loaded before the first job asks for it; if it cannot be, that job learns why."""
        with self._changed:
            for waiting in self._warming:
                waiting.append(key)
            self._changed.notify_all()

    def numerics(self, key: EncoderKey) -> dict[str, Any]:
        """What really ran for a key that has encoded at least one batch."""
        with self._changed:
            return dict(self._numerics[key])

    @property
    def encoders(self) -> list[str]:
        """Ids of the encoders that are loaded on any device."""
        return list(dict.fromkeys(encoder for shelf in self._shelves for encoder in shelf.loaded))

    def usage(self) -> Usage:
        """What has been done up to now."""
        with self._changed:
            sizes = {key.encoder: tuner.rows for key, tuner in self._tuners.items()}
            return Usage(len(self._shelves), self._batches, self._rows, self._busy_s, sizes, self._halvings)

    def close(self) -> None:
        """Ends the runners after the batches in hand; whatever waits is cancelled."""
        with self._changed:
            self._closed = True
            for future in self._lanes.drain():
                future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, begin: Callable[[int], None] | None) -> None:
        if begin is not None:
            begin(number)
        shelf = self._shelves[number]
        in_hand: deque[_Launched] = deque()
        depth = 1
        while True:
            taken = self._next_batch(number, wait=not in_hand) if len(in_hand) < depth else None
            if taken is not None:
                key, tickets = taken
                if not tickets:
                    _preload(shelf, key)
                    continue
                launched = self._launch(shelf, key, tickets)
                if launched is None:
                    self._release(key)
                else:
                    in_hand.append(launched)
                    depth = launched.depth
            elif not in_hand:
                return
            if in_hand and (taken is None or len(in_hand) >= depth):
                ended = in_hand.popleft()
                self._deliver(shelf, ended)
                self._release(ended.key)

    def _next_batch(self, number: int, *, wait: bool) -> tuple[EncoderKey, list[Ticket]] | None:
        """A full batch, or what there is once its oldest slice has waited long enough; None when closed or, without `wait`, not yet."""
        with self._changed:
            while not self._closed:
                key = self._lanes.next_key(self._busy())
                patience: float | None = None
                if key is None and self._warming[number]:
                    return self._warming[number].popleft(), []
                if key is not None:
                    full, waiting = self._tuner(key).rows, self._lanes.waiting_rows(key)
                    patience = self._lanes.oldest(key) + self._key_limits(key).fill_wait_s - time.monotonic()
                    if waiting >= full or patience <= 0:
                        # The last rows of a series are shared out, so that all runners end together.
                        tickets = self._lanes.take(key, min(full, -(-waiting // len(self._shelves))))
                        self._in_hand[key] += 1
                        return key, tickets
                if not wait:
                    return None
                self._changed.wait(patience)
            return None

    def _busy(self) -> list[EncoderKey]:
        """Encoders of which no further batch may be in hand."""
        bounds = ((key, number, self._limits[key].at_once) for key, number in self._in_hand.items())
        return [key for key, number, at_once in bounds if at_once is not None and number >= at_once]

    def _release(self, key: EncoderKey) -> None:
        with self._changed:
            self._in_hand[key] -= 1
            if self._limits[key].at_once is not None:
                self._changed.notify_all()

    def _key_limits(self, key: EncoderKey) -> EngineLimits:
        if key not in self._limits:
            self._limits[key] = self._limits_of(key)
        return self._limits[key]

    def _tuner(self, key: EncoderKey) -> BatchTuner:
        if key not in self._tuners:
            limits = self._key_limits(key)
            self._tuners[key] = BatchTuner(limits.batch_sizes, limits.first_size)
        return self._tuners[key]

    def _launch(self, shelf: EncoderShelf, key: EncoderKey, tickets: list[Ticket]) -> _Launched | None:
        live = [ticket for ticket in tickets if ticket.encoded.set_running_or_notify_cancel()]
        return self._start(shelf, key, live) if live else None

    def _start(self, shelf: EncoderShelf, key: EncoderKey, live: list[Ticket]) -> _Launched | None:
        try:
            encoder = shelf.get(key)
            parcels = [ticket.parcel for ticket in live]
            launched = _Launched(key, live, sum(map(len, parcels)), encoder.depth, encoder.launch(parcels))
        except DeviceMemoryShort as error:
            self._halve(shelf, key, live, error)
            return None
        except Exception as error:  # noqa: BLE001 - whatever the device says belongs to the jobs that asked, not to this thread
            _fail(live, error)
            return None
        with self._changed:
            if key not in self._numerics:
                self._numerics[key] = dict(encoder.numerics)
        return launched

    def _deliver(self, shelf: EncoderShelf, launched: _Launched) -> None:
        try:
            batch = launched.finish()
        except DeviceMemoryShort as error:
            self._halve(shelf, launched.key, launched.tickets, error)
            return
        except Exception as error:  # noqa: BLE001 - as above
            _fail(launched.tickets, error)
            return
        with self._changed:
            self._batches += 1
            self._rows += launched.rows
            self._busy_s += batch.device_s
            self._tuner(launched.key).record(launched.rows, batch.device_s)
        start = 0
        for ticket in launched.tickets:
            stop = start + len(ticket.parcel)
            share = batch.device_s * len(ticket.parcel) / launched.rows
            ticket.encoded.set_result(Encoded(batch.features[start:stop], share))
            start = stop

    def _halve(self, shelf: EncoderShelf, key: EncoderKey, tickets: list[Ticket], error: DeviceMemoryShort) -> None:
        """Encodes a batch that was too large for the device's memory in two halves, and makes no batch as large again.

        A slice that is too large by itself is the job's own failure.
        """
        rows = sum(len(ticket.parcel) for ticket in tickets)
        with self._changed:
            self._halvings += 1
            self._tuner(key).limit(rows // 2)
        if len(tickets) == 1:
            _fail(tickets, error)
            return
        log.warning("batch_halved", encoder=key.encoder, rows=rows)
        middle = len(tickets) // 2
        for half in (tickets[:middle], tickets[middle:]):
            launched = self._start(shelf, key, half)
            if launched is not None:
                self._deliver(shelf, launched)


def _preload(shelf: EncoderShelf, key: EncoderKey) -> None:
    try:
        shelf.preload(key)
    except Exception:  # noqa: BLE001 - the job that needs this encoder will ask again, and be told
        log.warning("encoder_not_preloaded", encoder=key.encoder)


def _fail(tickets: Sequence[Ticket], error: Exception) -> None:
    for ticket in tickets:
        ticket.encoded.set_exception(error)
