"""Rows that wait for the device: one lane an encoder, one stream a job.

A batch is filled from one lane, a slice at a time, in turn from each of its streams, so that a short series is not held up behind a
long one. Streams of interactive jobs are served before those of bulk jobs, but for every eighth batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from slicebank_worker.engine.parcels import Encoded, Parcel

BULK_EVERY = 8
"""Of so many batches one is filled from bulk jobs first."""


@dataclass(frozen=True, slots=True)
class EncoderKey:
    """What must agree for rows to share a batch."""

    encoder: str
    weights_digest: str
    precision: str


@dataclass(slots=True, eq=False)
class Ticket:
    """The rows of one slice and where their features go.

    Attributes:
        parcel: what makes the W rows of the slice; its length is W.
        encoded: takes their features, (W, D).
        arrived: on the monotonic clock.
    """

    parcel: Parcel
    encoded: Future[Encoded]
    arrived: float


@dataclass(slots=True, eq=False)
class RowStream:
    """The waiting rows of one job."""

    key: EncoderKey
    interactive: bool
    waiting: deque[Ticket] = field(default_factory=deque)

    @property
    def rank(self) -> int:
        """0 for interactive work, 1 for bulk."""
        return 0 if self.interactive else 1


class Lanes:
    """The streams of all running jobs. Not thread safe: the engine holds its lock around every call."""

    def __init__(self) -> None:
        self._streams: list[RowStream] = []
        self._batches = 0

    def open(self, key: EncoderKey, *, interactive: bool) -> RowStream:
        """Adds the stream of one job."""
        stream = RowStream(key, interactive)
        self._streams.append(stream)
        return stream

    def close(self, stream: RowStream) -> None:
        """Removes a stream; what still waits in it is cancelled."""
        self._streams = [other for other in self._streams if other is not stream]
        while stream.waiting:
            stream.waiting.popleft().encoded.cancel()

    def put(self, stream: RowStream, parcel: Parcel) -> Future[Encoded]:
        """Lets the rows of one slice wait for the device."""
        ticket = Ticket(parcel, Future(), time.monotonic())
        stream.waiting.append(ticket)
        return ticket.encoded

    def next_key(self, busy: Collection[EncoderKey] = ()) -> EncoderKey | None:
        """The encoder to run next: that of the oldest waiting slice, by rank; not one that is busy."""
        first, _ = self._ranks()
        heads = [
            (s.rank != first, s.waiting[0].arrived, i)
            for i, s in enumerate(self._streams)
            if s.waiting and s.key not in busy
        ]
        return self._streams[min(heads)[2]].key if heads else None

    def waiting_rows(self, key: EncoderKey) -> int:
        """How many rows wait for this encoder."""
        return sum(len(t.parcel) for s in self._streams if s.key == key for t in s.waiting)

    def oldest(self, key: EncoderKey) -> float:
        """When the oldest slice waiting for this encoder arrived, on the monotonic clock."""
        return min(s.waiting[0].arrived for s in self._streams if s.key == key and s.waiting)

    def take(self, key: EncoderKey, most_rows: int) -> list[Ticket]:
        """Removes the tickets of the next batch: at least one slice, at most `most_rows` rows if slices allow."""
        taken: list[Ticket] = []
        rows = 0
        ranks = self._ranks()
        self._batches += 1
        for rank in ranks:
            turn = deque(s for s in self._streams if s.key == key and s.rank == rank and s.waiting)
            while turn and (not taken or rows + len(turn[0].waiting[0].parcel) <= most_rows):
                stream = turn.popleft()
                ticket = stream.waiting.popleft()
                taken.append(ticket)
                rows += len(ticket.parcel)
                if stream.waiting:
                    turn.append(stream)
                # The next job starts the next batch, so that the turn goes round between batches too.
                self._streams.remove(stream)
                self._streams.append(stream)
        return taken

    def _ranks(self) -> tuple[int, int]:
        """Who fills the next batch first: interactive jobs, and now and then bulk jobs, which would else stand still beside endless interactive ones."""
        return (1, 0) if self._batches % BULK_EVERY == BULK_EVERY - 1 else (0, 1)

    def drain(self) -> list[Future[Any]]:
        """Removes everything that waits."""
        return [t.encoded for s in self._streams for t in (s.waiting.popleft() for _ in range(len(s.waiting)))]
