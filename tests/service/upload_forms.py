"""The forms an upload may have."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pydicom

from tests.service.support import ENCODER, Api


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def changed(content: bytes, change: Callable[[pydicom.Dataset], Any]) -> bytes:
    data = pydicom.dcmread(io.BytesIO(content))
    change(data)
    target = io.BytesIO()
    data.save_as(target)
    return target.getvalue()


def codes(answer: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["code"] for item in answer["rejected"]}


def post(
    api: Api, content: bytes, content_type: str, headers: dict[str, str] | None = None, **query: Any
) -> httpx.Response:
    return api.post(
        "/v1/series",
        content=content,
        headers={"Content-Type": content_type, **(headers or {})},
        params={"encoder": ENCODER, **query},
    )
