"""STOW-RS to servers that take all, some or none of what they are sent, or answer what nobody can read."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slicebank_store.errors import PacsRefused, PacsUnavailable
from slicebank_store.pacs.dicomweb import DicomWebClient
from slicebank_store.pacs.sources import DicomWebSource

TAKEN = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.1"]}}]}}
SOME = {
    **TAKEN,
    "00081198": {
        "vr": "SQ",
        "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.2"]}, "00081197": {"vr": "US", "Value": [43264]}}],
    },
}


@contextmanager
def pacs(status: int, body: bytes) -> Iterator[tuple[DicomWebClient, list[Any]]]:
    """A server that answers every POST so; and what it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, dict(self.headers), sent))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/dicom-web"
        try:
            with DicomWebClient("archive", DicomWebSource(kind="dicomweb", url=url, timeout_seconds=5.0)) as client:
                yield client, received
        finally:
            server.shutdown()
            thread.join()


def test_parts_are_what_was_sent() -> None:
    objects = [b"first\r\n--x\0", b"", b"\xff" * 1000]
    with pacs(200, json.dumps(TAKEN).encode()) as (client, received):
        assert client.store(objects) == {"1.2.1": None}
    ((path, headers, body),) = received
    assert path == "/dicom-web/studies"
    assert headers["Accept"] == "application/dicom+json"
    message = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
    assert message.get_content_type() == "multipart/related"
    assert message.get_param("type") == "application/dicom"
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert {part.get_content_type() for part in parts if not isinstance(part, str)} == {"application/dicom"}
    boundary = message.get_boundary()
    assert boundary is not None
    found = body.split(f"--{boundary}".encode())[1:-1]
    assert [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in found] == objects


@pytest.mark.parametrize("status", [200, 202, 409])
def test_what_was_not_taken_has_its_reason(status: int) -> None:
    with pacs(status, json.dumps(SOME).encode()) as (client, _):
        assert client.store([b"a", b"b"]) == {"1.2.1": None, "1.2.2": "A900"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"00081199": 3}',
        b'{"00081199": {"Value": [3, null]}}',
        b'{"00081198": {"vr": "SQ", "Value": [{"x": 1}]}}',
    ],
)
def test_an_answer_that_names_nothing_has_taken_nothing(body: bytes) -> None:
    with pacs(200, body) as (client, _):
        assert client.store([b"a"]) == {}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", PacsRefused),
        (415, b"", PacsRefused),
        (302, b"", PacsRefused),
        (429, b"", PacsUnavailable),
        (503, b"", PacsUnavailable),
        (200, b"<html>", PacsRefused),
        (200, b"[" * 200_000, PacsRefused),
        (200, b" " * (17 << 20), PacsRefused),
    ],
)
def test_answers_that_say_no(status: int, body: bytes, error: type[Exception]) -> None:
    with pacs(status, body) as (client, _), pytest.raises(error, match="PACS archive"):
        client.store([b"a"])


def test_nobody_answers() -> None:
    source = DicomWebSource(kind="dicomweb", url="http://127.0.0.1:9/dicom-web", timeout_seconds=1.0)
    with DicomWebClient("archive", source) as client, pytest.raises(PacsUnavailable, match="does not take"):
        client.store([b"a"])
