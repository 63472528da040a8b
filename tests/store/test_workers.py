from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from slicebank_store.errors import QueueUnavailable
from slicebank_store.notify import redis_url
from slicebank_store.workers import KEY_PREFIX, WorkerBoard, WorkerStatus, read_workers

EMBED = WorkerStatus(
    name="host:embed:7",
    role="embed",
    device="cpu",
    started_at=1_700_000_000.25,
    seen_at=1_700_000_060.5,
    jobs=2,
    encoders=["dummy", "hu_statistics"],
    rows_total=4096,
    rows_per_second=81.5,
    window_s=10.0,
    utilisation=0.93,
    decode_share=0.4,
    batch_rows={"dummy": 64},
    bound_by="device",
)
TRAIN = WorkerStatus(name="host:train:8", role="train", device=None, started_at=1.0, seen_at=2.0)


@pytest.fixture
def client(broker_url: str) -> Iterator[Any]:
    """A plain client of the broker, and a board that is empty before and after."""
    with redis.Redis.from_url(redis_url(broker_url)) as made:
        yield made
        for key in made.scan_iter(match=f"{KEY_PREFIX}*"):
            made.delete(key)


@pytest.fixture
def board(broker_url: str) -> Iterator[WorkerBoard]:
    made = WorkerBoard(broker_url)
    yield made
    made.close()


@pytest.mark.usefixtures("client")
def test_the_board_shows_what_was_posted_last_by_role_and_name(board: WorkerBoard, broker_url: str) -> None:
    assert read_workers(broker_url) == []
    other = replace(EMBED, name="host:embed:10")
    for status in (TRAIN, EMBED, other, replace(EMBED, jobs=5)):
        board.post(status)
    assert read_workers(broker_url) == [other, replace(EMBED, jobs=5), TRAIN]
    board.withdraw(EMBED.name)
    board.withdraw("never there")
    assert read_workers(broker_url) == [other, TRAIN]


def test_a_silent_worker_is_forgotten(client: Any, board: WorkerBoard, broker_url: str) -> None:
    board.post(EMBED)
    assert 0 < client.pttl(KEY_PREFIX + EMBED.name) <= 15_000
    short = WorkerBoard(broker_url, expire_s=0.001)
    short.post(EMBED)
    short.close()
    while client.exists(KEY_PREFIX + EMBED.name):
        threading.Event().wait(0.005)
    assert read_workers(broker_url) == []


def test_what_is_no_status_hides_nobody(client: Any, board: WorkerBoard, broker_url: str) -> None:
    board.post(TRAIN)
    client.set(f"{KEY_PREFIX}a", b"\xff")
    client.set(f"{KEY_PREFIX}b", b'{"name": "b", "role": "embed"}')
    client.set(
        f"{KEY_PREFIX}c", b'{"name": "c", "role": "x", "device": null, "started_at": 1, "seen_at": 2, "new": []}'
    )
    client.lpush(f"{KEY_PREFIX}d", "a list")
    client.set("slicebank:workers", b"another key")
    newer = WorkerStatus(name="c", role="x", device=None, started_at=1.0, seen_at=2.0)
    assert read_workers(broker_url) == [TRAIN, newer], "a newer worker's further fields are passed over"


def test_many_workers_and_many_other_keys(client: Any, board: WorkerBoard, broker_url: str) -> None:
    client.mset({f"other:{number}": b"" for number in range(3000)})
    for number in range(150):
        board.post(replace(EMBED, name=f"host:embed:{number:03}"))
    assert [status.name for status in read_workers(broker_url)] == [f"host:embed:{number:03}" for number in range(150)]
    client.delete(*(f"other:{number}" for number in range(3000)))


def test_without_a_broker_posting_is_no_error_and_reading_is(tmp_path: Path) -> None:
    url = f"redis+socket://{tmp_path / 'none.sock'}"
    board = WorkerBoard(url)
    board.post(EMBED)
    board.withdraw(EMBED.name)
    board.close()
    with pytest.raises(QueueUnavailable, match="which workers run"):
        read_workers(url)


class Ear:
    """A server that takes connections and never answers, or closes them at once."""

    def __init__(self, *, hangs_up: bool) -> None:
        self.calls = 0
        self._hangs_up = hangs_up
        self._held: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.calls += 1
                if self._hangs_up:
                    connection.close()
                else:
                    self._held.append(connection)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        for connection in self._held:
            connection.close()


@contextmanager
def ear(*, hangs_up: bool) -> Iterator[Ear]:
    with contextlib.closing(Ear(hangs_up=hangs_up)) as made:
        yield made


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_broker_that_fails_is_asked_once_and_then_left_alone(hangs_up: bool) -> None:
    with ear(hangs_up=hangs_up) as deaf:
        board = WorkerBoard(deaf.url, timeout_s=0.05)
        for _ in range(100):
            board.post(EMBED)
        board.withdraw(EMBED.name)
        board.close()
    assert deaf.calls == 1, "no retries, and a pause after the failure"


@pytest.mark.parametrize("hangs_up", [True, False])
def test_reading_gives_up_at_once(hangs_up: bool) -> None:
    with ear(hangs_up=hangs_up) as deaf:
        with pytest.raises(QueueUnavailable):
            read_workers(deaf.url, timeout_s=0.05)
        assert deaf.calls == 1
