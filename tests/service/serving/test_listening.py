from __future__ import annotations

import socket

import pytest

from slicebank_service.serving.errors import PortTaken
from slicebank_service.serving.listening import listen, url_of


def test_a_free_port_is_found() -> None:
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as other:
        assert url_of(one) != url_of(other)
        host, port = one.getsockname()
        assert url_of(one) == f"http://{host}:{port}"
        with socket.create_connection((host, port), timeout=5):
            pass


def test_a_port_in_use_is_refused_when_asked_for_and_passed_over_otherwise() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        taken = first.getsockname()[1]
        assert second.getsockname()[1] > taken
        with pytest.raises(PortTaken, match="--port 0"):
            listen("127.0.0.1", taken)


def test_all_addresses_are_reached_by_loopback() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert url_of(listening).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_hosts_that_are_not_here(host: str) -> None:
    with pytest.raises(PortTaken, match="--host"):
        listen(host, 0)
