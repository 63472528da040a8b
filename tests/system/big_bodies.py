"""Bodies of gigabytes, made as they are sent, and clients that send them."""

from __future__ import annotations

import http.client
import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom

from benchmarks.api_alone import ApiAlone
from benchmarks.inputs import write_series

SLICE_BYTES = 512 * 512 * 2
_BOUNDARY = "slicebank-test"
# Of one length, so that every slice is the template with other digits in these two places.
_UID, _Z = "2.25.1000000000{series:03d}{index:06d}", "{z:011.3f}"


class Slices:
    """A series of any length: one real-looking slice with other UIDs and positions."""

    def __init__(self, folder: Path, *, series: int = 0) -> None:
        """Draws the slice."""
        write_series(folder, 1, seed=77)
        data = pydicom.dcmread(next(path for path in folder.rglob("*") if path.is_file()))
        self._series = series
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = self._uid(0)
        data.StudyInstanceUID, data.SeriesInstanceUID = f"2.25.{2 + series}", f"2.25.{2000 + series}"
        data.ImagePositionPatient = ["-100", "-100", self._z(0)]
        self.study_uid = str(data.StudyInstanceUID)
        buffer = BytesIO()
        data.save_as(buffer, enforce_file_format=True)
        self._template = buffer.getvalue()

    def __call__(self, n_slices: int) -> Iterator[bytes]:
        for index in range(n_slices):
            content = self._template.replace(self._uid(0).encode(), self._uid(index).encode())
            yield content.replace(self._z(0).encode(), self._z(index).encode())

    def _uid(self, index: int) -> str:
        return _UID.format(series=self._series, index=index)

    def _z(self, index: int) -> str:
        return _Z.format(z=index * 0.5)


def write_zip(path: Path, slices: Slices, n_slices: int) -> None:
    """One zip of stored members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index, content in enumerate(slices(n_slices)):
            archive.writestr(f"{index:06d}.dcm", content)


def post_file(api: ApiAlone, target: str, path: Path, media_type: str) -> tuple[int, Any]:
    """Posts a file with its length."""
    connection = _connection(api)
    connection.putrequest("POST", target)
    for name, value in (*_headers(api, media_type), ("Content-Length", str(path.stat().st_size))):
        connection.putheader(name, value)
    connection.endheaders()
    with path.open("rb") as file:
        connection.sock.sendfile(file)
    return _answer(connection)


def post_instances(api: ApiAlone, instances: Iterator[bytes]) -> tuple[int, Any]:
    """Posts instances by STOW-RS, chunked, as dicomweb-client does."""
    connection = _connection(api)
    media_type = f'multipart/related; type="application/dicom"; boundary="{_BOUNDARY}"'
    connection.putrequest("POST", "/dicomweb/studies")
    for name, value in (*_headers(api, media_type), ("Transfer-Encoding", "chunked")):
        connection.putheader(name, value)
    connection.endheaders()
    head = f"\r\n--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    for content in instances:
        connection.send(f"{len(head) + len(content):x}\r\n".encode() + head + content + b"\r\n")
    end = f"\r\n--{_BOUNDARY}--".encode()
    connection.send(f"{len(end):x}\r\n".encode() + end + b"\r\n0\r\n\r\n")
    return _answer(connection)


def _connection(api: ApiAlone) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", api.port, timeout=900)


def _headers(api: ApiAlone, media_type: str) -> tuple[tuple[str, str], ...]:
    return ("Authorization", f"Bearer {api.key}"), ("Content-Type", media_type), ("Accept", "*/*")


def _answer(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body
