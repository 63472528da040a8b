from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from slicebank_service.hub import NotificationHub
from slicebank_store.notify import JobNews
from slicebank_store.types import JobState


def test_listeners_hear_of_their_own_jobs_alone() -> None:
    async def scenario() -> None:
        source: asyncio.Queue[JobNews] = asyncio.Queue()

        async def news() -> AsyncIterator[JobNews]:
            while True:
                yield await source.get()

        hub = NotificationHub(news)
        running = asyncio.create_task(hub.run())
        with hub.listen("p", ["a", "b"]) as mine, hub.listen("q", ["a"]) as other_project:
            source.put_nowait(JobNews("p", "b", JobState.RUNNING))
            assert await mine.changed(5)
            assert not await mine.changed(0.01), "heard once"
            assert not await other_project.changed(0.01)
        assert hub._listeners == {}
        running.cancel()

    asyncio.run(scenario())


def test_news_between_look_and_wait_are_not_missed() -> None:
    async def scenario() -> None:
        hub = NotificationHub(lambda: never())
        with hub.listen("p", ["a"]) as listener:
            hub.wake("p", "a")
            assert await listener.changed(5)

    async def never() -> AsyncIterator[JobNews]:
        await asyncio.Event().wait()
        yield JobNews("p", "a", JobState.RUNNING)

    asyncio.run(scenario())


def test_the_hub_subscribes_again_when_the_broker_went_away() -> None:
    async def scenario() -> None:
        attempts: list[int] = []

        async def news() -> AsyncIterator[JobNews]:
            attempts.append(len(attempts))
            if len(attempts) == 1:
                raise ConnectionError("gone")
            yield JobNews("p", "a", JobState.RUNNING)
            await asyncio.Event().wait()

        hub = NotificationHub(news, reconnect_s=0.001)
        with hub.listen("p", ["a"]) as listener:
            running = asyncio.create_task(hub.run())
            assert await listener.changed(5)
            assert hub.connected
        running.cancel()

    asyncio.run(scenario())
