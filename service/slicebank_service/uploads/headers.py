"""The headers of tus requests, read, and those of every answer."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slicebank_service.errors import BadRequest, EmptyBody, UnsupportedTusVersion
from slicebank_service.uploads.resumable import ResumableUpload

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CONTENT_TYPE = "application/offset+octet-stream"
ALGORITHMS = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}
"""Checksums of parts; SHA-1, which tus asks servers to know, tells accidents and no more."""

_PREFIX = "/v1/uploads"
_OVERRIDDEN = frozenset({"PATCH", "DELETE", "HEAD"})
# All that is kept of a file name.
_SUFFIX = re.compile(r"\.(?:zip|dcm|nii|nii\.gz|tar|tgz|(?:tar\.)?(?:gz|zst|xz|bz2))$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must hash to.

    Attributes:
        hasher: a fresh hash object.
        expected: its digest.
    """

    hasher: Any
    expected: bytes


class TusHeaders:
    """Names the protocol in every answer, refusals included, and lets clients behind old proxies send PATCH as POST (tus 1.0, core protocol)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request (ASGI)."""
        if scope["type"] != "http" or not (scope["path"] == _PREFIX or scope["path"].startswith(f"{_PREFIX}/")):
            await self._app(scope, receive, send)
            return
        meant = Headers(scope=scope).get("x-http-method-override", "").upper()
        if scope["method"] == "POST" and meant in _OVERRIDDEN:
            scope["method"] = meant

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
            await send(message)

        await self._app(scope, receive, send_named)


def check_version(headers: Headers) -> None:
    """Refuses another protocol.

    Raises:
        UnsupportedTusVersion: the client speaks another version, or does not say.
    """
    if headers.get("tus-resumable") != VERSION:
        raise UnsupportedTusVersion(f"send `Tus-Resumable: {VERSION}`: that is the version spoken here")


def length_of(headers: Headers) -> int:
    """The bytes that an upload is to have.

    Raises:
        BadRequest: it does not say.
        EmptyBody: none.
    """
    length = _number(headers, "upload-length")
    if length is None:
        raise BadRequest("send `Upload-Length`, the bytes of the whole upload; it cannot follow later")
    if length == 0:
        raise EmptyBody("the upload has no bytes; send a zip or tar of the study, or a DICOM or NIfTI file")
    return length


def offset_of(headers: Headers) -> int:
    """Where the bytes of a request begin.

    Raises:
        BadRequest: it does not say.
    """
    offset = _number(headers, "upload-offset")
    if offset is None:
        raise BadRequest("send `Upload-Offset`, where these bytes begin; HEAD tells it")
    return offset


def suffix_of(headers: Headers) -> str:
    """The suffix of the file name among the metadata, where it is a known one."""
    for pair in headers.get("upload-metadata", "").split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                name = base64.b64decode(value, validate=True).decode("utf-8", "replace")
            except ValueError as error:  # of binascii, or not ASCII
                raise BadRequest("`Upload-Metadata` is not of the form `key BASE64,key BASE64`") from error
            found = _SUFFIX.search(name)
            return found.group().lower() if found else ""
    return ""


def checksum_of(headers: Headers) -> Checksum | None:
    """What the bytes of a request must hash to, where it says.

    Raises:
        BadRequest: an algorithm that is not known here, or no base64.
    """
    given = headers.get("upload-checksum")
    if given is None:
        return None
    name, _, value = given.strip().partition(" ")
    try:
        return Checksum(ALGORITHMS[name.lower()](), base64.b64decode(value, validate=True))
    except (KeyError, ValueError) as error:  # ValueError: of binascii, or not ASCII
        known = " or ".join(ALGORITHMS)
        raise BadRequest(f"`Upload-Checksum` is the name of an algorithm, {known}, a space and base64") from error


def describing(upload: ResumableUpload) -> Mapping[str, str]:
    """Headers that say how far an upload is and how long it is kept."""
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.state.length),
        "Upload-Expires": formatdate(upload.expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }


def _number(headers: Headers, name: str) -> int | None:
    given = headers.get(name, "")
    # 19 digits are more than any disk; longer numbers take longer to read.
    return int(given) if given.isascii() and given.isdigit() and len(given) < 20 else None
