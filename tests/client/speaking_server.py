"""A real HTTP server in a thread that speaks the REST contract from memory, for tests of the client."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "test-key"
JSON = dict[str, Any]


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def members(self) -> dict[str, bytes]:
        """Name and content of each file of an uploaded archive."""
        if self.headers["content-type"] == "application/zip":
            with zipfile.ZipFile(io.BytesIO(self.body)) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        with tarfile.open(fileobj=io.BytesIO(self.body)) as archive:
            return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


def problem(status: int, code: str, detail: str, **extra: Any) -> Reply:
    body = {"status": status, "code": code, "detail": detail, "request_id": "req-1", **extra}
    return Reply(status, body, "application/problem+json")


def job(job_id: str, state: str, **values: Any) -> JSON:
    return {
        "job_id": job_id,
        "kind": "embed",
        "state": state,
        "progress": {"done": 0, "total": 0, "unit": "slices"},
        "queue_position": None,
        "eta_seconds": None,
        "attempts": 1,
        "stages": {},
        "created_at": "2024-05-01T10:00:00.000Z",
        "started_at": None,
        "finished_at": None,
        "error": None,
        "result": None,
        **values,
    }


Answer = Callable[[Request], Reply]


class SpeakingServer:
    """Answers by exact "METHOD /path", in turn where several answers are queued; the last one stays."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[str, list[Reply | Answer]] = {}
        self.url = ""

    def on(self, call: str, *answers: Reply | Answer | JSON) -> None:
        self._answers[call] = [
            item if isinstance(item, Reply) or callable(item) else Reply(body=item) for item in answers
        ]

    def asked(self, call: str) -> list[Request]:
        return [request for request in self.requests if f"{request.method} {request.path}" == call]

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        if request.path not in ("/health", "/ready") and request.headers.get("authorization") != f"Bearer {KEY}":
            return problem(401, "unauthorized", "The request carries no key.")
        answers = self._answers.get(f"{request.method} {request.path}")
        if not answers:
            return problem(404, "not_found", f"There is nothing at {request.path}.")
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        return chosen if isinstance(chosen, Reply) else chosen(request)


@contextmanager
def serving() -> Iterator[SpeakingServer]:
    server = SpeakingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.answer(Request(self.command, unquote(parts.path), query, headers, body))
            content = reply.content
            self.send_response(reply.status)
            for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                self.send_header(name, value)
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_HEAD = do_PATCH = do_PUT = _handle  # noqa: N815 - http.server's own names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()


def bag_answer(content: bytes, bag_id: str = "b" * 32) -> JSON:
    return {
        "bag_id": bag_id,
        "series_uid": "1.2.3",
        "encoder": "dummy",
        "recipe": {"encoder": "dummy"},
        "revision": 1,
        "stack": 0,
        "n_rows": 4,
        "n_slices": 2,
        "dim": 3,
        "dtype": "float32",
        "windows": [{"name": "abdomen", "low": -175, "high": 275}, {"name": "lung", "low": -1500, "high": 500}],
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "created_at": "2024-05-01T10:00:00.000Z",
    }
