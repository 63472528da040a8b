"""The proxy itself: it carries, refuses, breaks and delays."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxies, Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while piece := connection.recv(1 << 16):
                        connection.sendall(piece)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxies() as proxies:
        proxies.front("echo", echo)
        yield proxies.named["echo"]


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def received(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (piece := connection.recv(1 << 16)):
        found += piece
    return found


def test_it_carries_bytes_and_ends_both_ways(proxy: Proxy) -> None:
    data = bytes(range(256)) * 4096
    with connected(proxy) as connection:
        threading.Thread(target=connection.sendall, args=(data,)).start()
        assert received(connection, len(data)) == data
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_dropping_breaks_what_is_open_and_nothing_later(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        assert proxy.drop() == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connected(proxy) as connection:
        connection.sendall(b"y")
        assert connection.recv(1) == b"y"


def test_refusing_ends_with_accepting(proxy: Proxy) -> None:
    with connected(proxy) as open_one:
        open_one.sendall(b"x")
        assert open_one.recv(1) == b"x"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            open_one.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
    proxy.accept()
    with connected(proxy) as connection:
        connection.sendall(b"z")
        assert connection.recv(1) == b"z"


def test_delayed_bytes_come_later_and_whole(proxy: Proxy) -> None:
    proxy.delay(0.3)
    with connected(proxy) as connection:
        sent = time.monotonic()
        connection.sendall(b"slow")
        assert received(connection, 4) == b"slow"
        assert time.monotonic() - sent >= 0.6, "held back on the way there and on the way back"
