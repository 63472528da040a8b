"""The servers of a cluster: what outlives a restart, and that none outlives whoever started it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests.cluster.postgres import PostgresServer
from tests.cluster.processes import free_ports
from tests.cluster.valkey import ValkeyServer

pytestmark = pytest.mark.system

_STARTER = """
import sys, time
from pathlib import Path
from tests.cluster.valkey import ValkeyServer
server = ValkeyServer(Path(sys.argv[1]))
server.start()
print(server.port, flush=True)
time.sleep(600)
"""


def test_postgres_keeps_what_was_committed_over_an_immediate_stop(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    address = server.url().replace("+psycopg", "")
    try:
        server.start()
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE kept (value int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(address)
        server.start()
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]
    finally:
        server.remove()


def test_valkey_forgets_everything(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    try:
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            client.set("a", "b")
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            assert client.get("a") is None
    finally:
        server.kill()


def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True
    )
    with starter:
        assert starter.stdout is not None
        port = int(starter.stdout.readline())
        socket.create_connection(("127.0.0.1", port)).close()
        starter.kill()
        starter.wait()
    deadline = time.monotonic() + 30
    while _listens(port):
        assert time.monotonic() < deadline, "the server goes on"
        time.sleep(0.05)


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(map(_listens, ports))


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
