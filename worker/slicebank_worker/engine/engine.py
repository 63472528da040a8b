"""One device, one thread that feeds it.

The engine is built once in a worker process, before any job runs, and shared by all of its jobs. Its own thread is the only one
that touches the device.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog

from slicebank_worker.engine.lanes import EncoderKey, Features, Lanes, Rows, RowStream, Ticket
from slicebank_worker.errors import WorkerError

log = structlog.get_logger()


class EngineClosed(WorkerError):
    """Rows were offered to an engine that has been closed."""


class Encoder(Protocol):
    """A frozen encoder on its device."""

    @property
    def numerics(self) -> dict[str, Any]:
        """What really ran: device, dtype, memory format, versions."""

    def encode(self, rows: Rows) -> Features:
        """Features (B, D) of rows (B, S, S)."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How batches are made.

    Attributes:
        batch_rows: rows of a full batch.
        fill_wait_s: how long an idle device waits for a batch to fill, counted from its oldest slice.
        encoders_kept: how many encoders stay loaded.
    """

    batch_rows: int
    fill_wait_s: float = 0.01
    encoders_kept: int = 3


@dataclass(slots=True)
class EngineCount:
    """What the engine has done since it started."""

    batches: int = 0
    rows: int = 0
    busy_s: float = 0.0


class Engine:
    """Encodes the rows of all running jobs in shared batches.

    Args:
        load: makes the encoder of a key ready; called on the engine's thread, its errors reach the jobs that asked.
        limits: how batches are made.
    """

    def __init__(self, load: Callable[[EncoderKey], Encoder], limits: EngineLimits) -> None:
        self._load = load
        self._limits = limits
        self._lanes = Lanes()
        self._changed = threading.Condition()
        self._closed = False
        self._warming: list[EncoderKey] = []
        self._encoders: OrderedDict[EncoderKey, Encoder] = OrderedDict()
        self._numerics: dict[EncoderKey, dict[str, Any]] = {}
        self.count = EngineCount()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def batch_rows(self) -> int:
        """Rows of a full batch: what a job should keep waiting so that the device never does."""
        return self._limits.batch_rows

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

    def submit(self, stream: RowStream, rows: Rows) -> Future[Features]:
        """Queues the rows (W, S, S) of one slice; the future gives their features (W, D).

        Raises:
            EngineClosed: the engine has ended.
        """
        with self._changed:
            if self._closed:
                raise EngineClosed("the encoder engine of this worker has ended")
            future = self._lanes.put(stream, rows)
            self._changed.notify_all()
        return future

    def warm(self, key: EncoderKey) -> None:
        """Has an encoder loaded before the first job asks for it; if it cannot be, that job learns why."""
        with self._changed:
            self._warming.append(key)
            self._changed.notify_all()

    def numerics(self, key: EncoderKey) -> dict[str, Any]:
        """What really ran for a key that has encoded at least one batch."""
        with self._changed:
            return dict(self._numerics[key])

    def close(self) -> None:
        """Ends the thread after the batch in hand; whatever waits is cancelled."""
        with self._changed:
            self._closed = True
            for future in self._lanes.drain():
                future.cancel()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            key, tickets = batch
            if not tickets:
                self._preload(key)
            live = [t for t in tickets if t.features.set_running_or_notify_cancel()]
            if live:
                self._encode(key, live)

    def _next_batch(self) -> tuple[EncoderKey, list[Ticket]] | None:
        """Waits for work; a batch is full, or its oldest slice has waited long enough."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                key = self._lanes.next_key()
                if key is None and self._warming:
                    return self._warming.pop(0), []
                if key is None:
                    self._changed.wait()
                    continue
                patience = self._lanes.oldest(key) + self._limits.fill_wait_s - time.monotonic()
                if self._lanes.waiting_rows(key) >= self._limits.batch_rows or patience <= 0:
                    return key, self._lanes.take(key, self._limits.batch_rows)
                self._changed.wait(patience)

    def _encode(self, key: EncoderKey, tickets: list[Ticket]) -> None:
        try:
            encoder = self._encoder(key)
            started = time.perf_counter()
            features = encoder.encode(np.concatenate([t.rows for t in tickets]))
            self.count.busy_s += time.perf_counter() - started
        except Exception as error:  # noqa: BLE001 - whatever the device says belongs to the jobs that asked, not to this thread
            for ticket in tickets:
                ticket.features.set_exception(error)
            return
        self.count.batches += 1
        self.count.rows += len(features)
        start = 0
        for ticket in tickets:
            stop = start + len(ticket.rows)
            ticket.features.set_result(features[start:stop])
            start = stop

    def _preload(self, key: EncoderKey) -> None:
        try:
            self._encoder(key)
        except Exception:  # noqa: BLE001 - the job that needs this encoder will ask again, and be told
            log.warning("encoder_not_preloaded", encoder=key.encoder)

    def _encoder(self, key: EncoderKey) -> Encoder:
        if key not in self._encoders:
            encoder = self._load(key)
            with self._changed:
                self._numerics[key] = dict(encoder.numerics)
            self._encoders[key] = encoder
            while len(self._encoders) > self._limits.encoders_kept:
                self._encoders.popitem(last=False)
        self._encoders.move_to_end(key)
        return self._encoders[key]
