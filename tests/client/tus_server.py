"""A real HTTP server in a thread that speaks tus 1.0 from memory, and breaks connections when it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class TusServer:
    """Keeps every upload; `cuts` are byte counts after which the next PATCHes lose their connection."""

    def __init__(self) -> None:
        self.url = ""
        self.uploads: dict[str, bytearray] = {}
        self.lengths: dict[str, int] = {}
        self.asked: list[str] = []
        self.queries: list[str] = []
        self.metadata: list[str] = []
        self.received = 0
        self.cuts: list[int] = []
        self.not_yet = 0
        self.answer: tuple[int, dict[str, Any]] = (
            202,
            {"series": [{"series_uid": "1.2", "n_slices": 3, "job_id": "j", "bag_id": "b"}], "rejected": []},
        )


@contextmanager
def serving_tus() -> Iterator[TusServer]:
    server = TusServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self, status: int, headers: dict[str, str] | None = None, body: Any = None) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Tus-Resumable": "1.0.0", **(headers or {})}.items():
                self.send_header(name, value)
            if body is not None:
                self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _id(self) -> str:
            server.asked.append(f"{self.command}")
            return self.path.partition("?")[0].rpartition("/")[2]

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            if not self.path.startswith("/v1/uploads"):
                self._reply(404, body={"code": "no_such_route", "detail": "There is no such route."})
                return
            self._id()
            upload_id = f"u{len(server.lengths)}"
            server.uploads[upload_id] = bytearray()
            server.lengths[upload_id] = int(self.headers["upload-length"])
            server.queries.append(self.path.partition("?")[2])
            server.metadata.append(self.headers["upload-metadata"])
            self._reply(201, {"Location": f"http://elsewhere.example/v1/uploads/{upload_id}"})

        def do_HEAD(self) -> None:
            upload_id = self._id()
            if upload_id not in server.uploads:
                self._reply(404)
                return
            self._reply(200, {"Upload-Offset": str(len(server.uploads[upload_id]))})

        def do_PATCH(self) -> None:
            upload_id = self._id()
            if upload_id not in server.uploads:
                self._reply(404, body={"code": "unknown_upload", "detail": "There is no such upload."})
                return
            kept = server.uploads[upload_id]
            assert int(self.headers["upload-offset"]) == len(kept)
            size = int(self.headers["content-length"])
            cut = server.cuts.pop(0) if server.cuts else None
            body = self.rfile.read(size if cut is None else min(cut, size))
            kept.extend(body)
            server.received += len(body)
            if cut is not None:
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self._reply(204, {"Upload-Offset": str(len(kept))})

        def do_GET(self) -> None:
            upload_id = self._id()
            if len(server.uploads[upload_id]) < server.lengths[upload_id] or server.not_yet:
                server.not_yet -= 1
                self._reply(409, body={"code": "upload_incomplete", "detail": "It is being taken in."})
                return
            self._reply(server.answer[0], body=server.answer[1])

        def do_DELETE(self) -> None:
            server.uploads.pop(self._id(), None)
            self._reply(204)

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
