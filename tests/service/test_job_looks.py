"""Many who ask at once cost few questions, and nobody gets an answer from before the question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from typing import cast

import pytest

from slicebank_service.job_looks import JobLooks, Seen
from slicebank_store.catalogue import JobRecord
from slicebank_store.errors import CatalogueUnavailable


class SlowCatalogue:
    """Answers when it is let; what it says of a job is the number of the question."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.let = threading.Semaphore(0)
        self.away = False

    def read(self, job_ids: Collection[str]) -> dict[str, Seen]:
        self.asked.append(set(job_ids))
        answer = len(self.asked)
        assert self.let.acquire(timeout=30)
        if self.away:
            raise CatalogueUnavailable("away")
        return {job_id: Seen(cast(JobRecord, answer), None) for job_id in job_ids if job_id != "none"}


def test_questions_gather_while_one_is_asked() -> None:
    async def scenario() -> None:
        catalogue = SlowCatalogue()
        looks = JobLooks(catalogue.read)
        first = asyncio.create_task(looks.get("a"))
        while not catalogue.asked:
            await asyncio.sleep(0.001)
        # Asked later, so the answer that is under way does not do for them, not even for the same job.
        later = [asyncio.create_task(looks.get(job_id)) for job_id in ("a", "a", "b", "none")]
        many = asyncio.create_task(looks.get_many(["b", "c"]))
        await asyncio.sleep(0.01)
        catalogue.let.release(2)
        assert await first == Seen(cast(JobRecord, 1), None)
        second = Seen(cast(JobRecord, 2), None)
        assert await asyncio.gather(*later) == [second, second, second, None]
        assert {"b", "c"} <= set(await many)
        assert catalogue.asked == [{"a"}, {"a", "b", "c", "none"}]
        catalogue.let.release()
        assert await looks.get("a") == Seen(cast(JobRecord, 3), None)

    asyncio.run(scenario())


def test_an_error_is_everybodys_and_the_next_question_is_asked_again() -> None:
    async def scenario() -> None:
        catalogue = SlowCatalogue()
        looks = JobLooks(catalogue.read)
        catalogue.away = True
        catalogue.let.release(2)
        answers = await asyncio.gather(*(looks.get(name) for name in "abc"), return_exceptions=True)
        assert all(isinstance(answer, CatalogueUnavailable) for answer in answers)
        catalogue.away = False
        catalogue.let.release()
        assert await looks.get("a") is not None

    asyncio.run(scenario())


def test_one_who_goes_away_takes_nobody_along() -> None:
    async def scenario() -> None:
        catalogue = SlowCatalogue()
        looks = JobLooks(catalogue.read)
        gone, stays = asyncio.create_task(looks.get("a")), asyncio.create_task(looks.get("b"))
        while not catalogue.asked:
            await asyncio.sleep(0.001)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        catalogue.let.release()
        assert await stays is not None

    asyncio.run(scenario())
