"""Uploads that go on where they stopped: the client's side of tus 1.0 (https://tus.io/protocols/resumable-upload).

Written here because the protocol is three requests over httpx, which the client has anyway, and `tuspy` would bring
requests, aiohttp and tinydb, and can send nothing but files that lie on a disk whole.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx

from slicebank.errors import ApiError, Conflict, InvalidRequest, TransportError, UnexpectedAnswer
from slicebank.transport import UPLOAD_ANSWER_SECONDS, Query, Transport, json_object
from slicebank.upload.bodies import Body
from slicebank.upload.unfinished import UnfinishedUploads

VERSION = {"Tus-Resumable": "1.0.0"}
# Proxies that hold a request back until it is whole hold back no more than this.
PART_BYTES = 64 * 1024**2
PAUSE_S = 1.0
# While the server takes in what has arrived, it is asked again so often, a pause between.
ANSWER_TIMES = 300
# An upload may vanish while it is sent (it expired, or staging was cleared); it is begun again this often.
BEGIN_TIMES = 3
# A connection that broke may hold its upload until the server notices; so many pauses without a byte are too many.
STUCK_TIMES = 120
NOT_FOUND, CONFLICT, GONE, LOCKED = 404, 409, 410, 423

OnSent = Callable[[int], object]


class ResumableSender:
    """Sends bodies in parts, and remembers what is unfinished."""

    def __init__(
        self,
        transport: Transport,
        unfinished: UnfinishedUploads,
        *,
        part_bytes: int = PART_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Asks nothing yet."""
        self._transport = transport
        self._unfinished = unfinished
        self._part_bytes = part_bytes
        self._sleep = sleep

    def send(self, body: Body, key: str, *, content_type: str, query: Query, on_sent: OnSent) -> dict[str, Any]:
        """Send a body whole, or what is missing of it, and return the answer that POST /v1/series would give.

        Args:
            body: the bytes.
            key: under which an unfinished upload of the same bytes to the same server was noted.
            content_type: of the body.
            query: as of POST /v1/series.
            on_sent: called with the bytes that have been sent so far, after each chunk; it may fall back.

        Raises:
            NotFound: of code `not_found` where the server takes no resumable uploads.
            ApiError: the server refused; NothingUsable among them.
            FileChanged: as `body` raises it; the server then forgets what had arrived.
        """
        for left in reversed(range(BEGIN_TIMES)):
            upload_id = self._unfinished.find(key)
            offset = None if upload_id is None else self._offset(upload_id)
            if upload_id is None or offset is None:
                upload_id, offset = self._create(body.length, content_type, query), 0
                self._unfinished.note(key, upload_id)
            try:
                answer = self._finish(body, upload_id, offset, on_sent)
            except ApiError as error:
                if _vanished(error) and left:
                    self._unfinished.forget(key)
                    continue
                if isinstance(error, (InvalidRequest, Conflict)):
                    self._unfinished.forget(key)
                raise
            self._unfinished.forget(key)
            return answer
        raise AssertionError

    def abandon(self, key: str) -> None:
        """Let the server forget an unfinished upload."""
        upload_id = self._unfinished.find(key)
        if upload_id is not None:
            self._unfinished.forget(key)
            # It expires by itself where it cannot be removed now.
            with contextlib.suppress(ApiError, TransportError):
                self._transport.exchange("DELETE", _path(upload_id), headers=VERSION)

    def _create(self, length: int, content_type: str, query: Query) -> str:
        headers = {
            **VERSION,
            "Upload-Length": str(length),
            "Upload-Metadata": f"filetype {base64.b64encode(content_type.encode()).decode()}",
        }
        response = self._transport.patiently(
            lambda _: self._transport.exchange("POST", "/v1/uploads", headers=headers, query=query), known=False
        )
        # Only the name of the upload is believed, so that the key goes nowhere else.
        upload_id = httpx.URL(response.headers.get("location", "")).path.rstrip("/").rpartition("/")[2]
        if not upload_id:
            raise UnexpectedAnswer("The server began an upload without saying where it is.")
        return upload_id

    def _offset(self, upload_id: str) -> int | None:
        """Bytes that have arrived; None when the server knows no such upload."""
        try:
            response = self._transport.patiently(
                lambda _: self._transport.exchange("HEAD", _path(upload_id), headers=VERSION)
            )
        except ApiError as error:
            if _vanished(error):
                return None
            raise
        return _offset_of(response)

    def _finish(self, body: Body, upload_id: str, offset: int, on_sent: OnSent) -> dict[str, Any]:
        stuck = 0
        while offset < body.length:
            on_sent(offset)
            start = offset

            def attempt(tries: int, start: int = start) -> httpx.Response:
                if tries:
                    head = self._transport.exchange("HEAD", _path(upload_id), headers=VERSION)
                    if _offset_of(head) != start:
                        return head
                return self._send_part(body, upload_id, start, on_sent)

            answered = self._transport.patiently(attempt)
            offset = _offset_of(answered)
            if offset == body.length and answered.content:
                return json_object(answered)
            stuck = 0 if offset > start else stuck + 1
            if stuck > STUCK_TIMES:
                raise UnexpectedAnswer(f"The server takes no more than {offset} of {body.length} bytes.")
        on_sent(offset)
        return self._answer(upload_id)

    def _send_part(self, body: Body, upload_id: str, start: int, on_sent: OnSent) -> httpx.Response:
        size = min(self._part_bytes, body.length - start)
        headers = {
            **VERSION,
            "Upload-Offset": str(start),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(size),
        }
        try:
            return self._transport.exchange(
                "PATCH", _path(upload_id), headers=headers, content=_part(body.read(start), size, start, on_sent)
            )
        except ApiError as error:
            if error.status not in (LOCKED, CONFLICT):
                raise
        # The connection that broke still holds the upload, or its bytes have arrived meanwhile.
        self._sleep(PAUSE_S)
        return self._transport.exchange("HEAD", _path(upload_id), headers=VERSION)

    def _answer(self, upload_id: str) -> dict[str, Any]:
        for left in reversed(range(ANSWER_TIMES)):
            try:
                return self._transport.get(_path(upload_id), patience=UPLOAD_ANSWER_SECONDS, known=True)
            except Conflict:
                if not left:
                    raise
                self._sleep(PAUSE_S)
        raise AssertionError


def _part(chunks: Iterable[bytes], size: int, start: int, on_sent: OnSent) -> Iterator[bytes]:
    """The first `size` bytes of what follows."""
    left = size
    for chunk in chunks:
        piece = chunk[:left]
        yield piece
        left -= len(piece)
        on_sent(start + size - left)
        if not left:
            return


def _path(upload_id: str) -> str:
    return f"/v1/uploads/{quote(upload_id, safe='')}"


def _offset_of(response: httpx.Response) -> int:
    offset = response.headers.get("upload-offset", "")
    if not (offset.isascii() and offset.isdigit()):
        raise UnexpectedAnswer("The server does not say how much of an upload has arrived.")
    return int(offset)


def _vanished(error: ApiError) -> bool:
    return error.status in (NOT_FOUND, GONE)
