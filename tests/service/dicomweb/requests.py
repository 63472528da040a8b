"""Requests as DICOMweb software writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from tests.service.support import Api

BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
RELATED = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


def related(instances: Iterable[bytes], *, media_type: str = "application/dicom") -> bytes:
    """A body as dicomweb-client writes it."""
    parts = [f"\r\n--{BOUNDARY}\r\nContent-Type: {media_type}\r\n\r\n".encode() + one for one in instances]
    return b"".join([*parts, f"\r\n--{BOUNDARY}--".encode()])


def stow(api: Api, instances: Iterable[bytes], study: str = "", **options: Any) -> httpx.Response:
    headers = {"Content-Type": RELATED, "Accept": "*/*", **options.pop("headers", {})}
    content = options.pop("content", None) or related(instances)
    return api.post(f"/dicomweb/studies{study}", content=content, headers=headers, **options)


async def in_pieces(body: bytes, size: int = 10_000) -> Any:
    """A body without Content-Length, as httpx sends chunks."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def uids(answer: dict[str, Any], tag: str) -> list[str]:
    """SOP instance UIDs of a sequence of the response."""
    return [item["00081155"]["Value"][0] for item in answer.get(tag, {}).get("Value", [])]


def failures(answer: dict[str, Any], tag: str = "00081198") -> Iterator[tuple[int, str, str | None]]:
    """Failure reason, code and tag at fault of each item."""
    for item in answer.get(tag, {}).get("Value", []):
        offending = item.get("00000901", {}).get("Value", [None])[0]
        yield item["00081197"]["Value"][0], item["00000902"]["Value"][0], offending
