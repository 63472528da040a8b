"""Requests of tus by hand, and a real server for real clients."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from tests.service.support import ENCODER, Api

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def begin(
    api: Api,
    length: int,
    *,
    filename: str | None = None,
    content: bytes | None = None,
    headers: dict[str, Any] | None = None,
    **query: Any,
) -> httpx.Response:
    sent = {**TUS, "Upload-Length": str(length), **(headers or {})}
    if filename is not None:
        sent["Upload-Metadata"] = f"filename {base64.b64encode(filename.encode()).decode()},filetype eA=="
    if content is not None:
        sent |= BYTES
    return api.post("/v1/uploads", headers=sent, params={"encoder": ENCODER, **query}, content=content)


def begun(api: Api, length: int, **options: Any) -> str:
    """Begins an upload; where it is."""
    response = begin(api, length, **options)
    assert response.status_code == 201, response.text
    assert response.headers["tus-resumable"] == "1.0.0"
    return response.headers["location"]


def add(
    api: Api, location: str, offset: int, content: Any, headers: dict[str, Any] | None = None, **query: Any
) -> httpx.Response:
    sent = {**TUS, **BYTES, "Upload-Offset": str(offset), **(headers or {})}
    return api.request("PATCH", location, headers=sent, content=content, params=query)


def offset(api: Api, location: str) -> int:
    response = api.request("HEAD", location, headers=TUS)
    assert response.status_code == 200, response.headers
    assert response.headers["cache-control"] == "no-store"
    return int(response.headers["upload-offset"])


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The app behind a real socket; its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
