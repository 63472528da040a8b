"""Looking at jobs for hundreds of requests at once: while one question is with the catalogue the next ones gather, and are asked together."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import anyio.to_thread

from slicebank_service.standing import Place
from slicebank_store.catalogue import JobRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as it was when it was looked at.

    Attributes:
        job: its row.
        place: where it stands; None unless it is queued.
    """

    job: JobRecord
    place: Place | None


@dataclass(slots=True)
class _Batch:
    job_ids: set[str] = field(default_factory=set)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    found: Mapping[str, Seen] = field(default_factory=dict)
    error: BaseException | None = None


class JobLooks:
    """Reads jobs in batches. To be used on one event loop.

    A job is always read after it was asked for, so what changed before is seen. Requests that ask for the same job share the answer.
    """

    def __init__(self, read: Callable[[Collection[str]], Mapping[str, Seen]]) -> None:
        """Starts with nobody asking.

        Args:
            read: looks at jobs by id, on a thread; those that are not there are left out.
        """
        self._read = read
        self._next = _Batch()
        self._reading: asyncio.Task[None] | None = None

    async def get(self, job_id: str) -> Seen | None:
        """One job; None where there is none."""
        return (await self.get_many([job_id])).get(job_id)

    async def get_many(self, job_ids: Collection[str]) -> Mapping[str, Seen]:
        """Jobs by id; the mapping may hold others too, which others asked for.

        Raises:
            CatalogueUnavailable: the catalogue is away.
        """
        batch = self._next
        batch.job_ids.update(job_ids)
        if self._reading is None or self._reading.done():
            # In a context of its own: what is logged there belongs to no single request.
            self._reading = asyncio.create_task(self._read_all(), context=contextvars.Context())
        await batch.answered.wait()
        if batch.error is not None:
            raise batch.error
        return batch.found

    async def _read_all(self) -> None:
        while self._next.job_ids:
            batch, self._next = self._next, _Batch()
            try:
                batch.found = await anyio.to_thread.run_sync(self._read, batch.job_ids)
            except BaseException as error:
                batch.error = error
                if not isinstance(error, Exception):
                    raise
            finally:
                batch.answered.set()
