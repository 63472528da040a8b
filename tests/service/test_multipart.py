from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_imaging.errors import TooManyFiles
from slicebank_service.errors import MalformedUpload
from slicebank_service.intake.multipart import MultipartFiles

HEAD = 'Content-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n'


def blocks(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    return [body[first:last] for first, last in pairwise(places)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.from_regex(r"[a-z ]{1,8}\.dcm", fullmatch=True), st.binary(max_size=300)), max_size=4),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_files_arrive_whole_however_the_body_is_cut(files: list[tuple[str, bytes]], cuts: list[int]) -> None:
    request = httpx.Request("POST", "http://test", files=[("files", file) for file in files] or {"files": ("a", b"")})
    with tempfile.TemporaryDirectory() as folder:
        parser = MultipartFiles(Path(folder), request.headers["content-type"], max_files=10)
        for block in blocks(request.read(), cuts):
            parser.feed(block)
        received = parser.finish()
        found = [(file.name, file.path.read_bytes()) for file in received]
    assert found == (files or [("a", b"")])


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_files_or_malformed(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        parser = MultipartFiles(Path(folder), "multipart/form-data; boundary=x", max_files=2)
        try:
            parser.feed(b"--x\r\n" + HEAD.encode() + body)
            parser.finish()
        except MalformedUpload:
            parser.close()


def test_names_on_disk_are_ordinals(tmp_path: Path) -> None:
    parser = MultipartFiles(tmp_path, 'multipart/form-data; boundary="x"', max_files=2)
    disposition = 'Content-Disposition: form-data; name="files"; filename="../../etc/passwd"'
    parser.feed(f"--x\r\n{disposition}\r\nX-More: 1\r\n\r\nabc\r\n--x--\r\n".encode())
    (received,) = parser.finish()
    assert (received.name, received.path.parent, received.path.read_bytes()) == ("../../etc/passwd", tmp_path, b"abc")


def test_the_limit_counts_files(tmp_path: Path) -> None:
    parser = MultipartFiles(tmp_path, "multipart/form-data; boundary=x", max_files=1)
    with pytest.raises(TooManyFiles):
        parser.feed(f"--x\r\n{HEAD}a\r\n--x\r\n{HEAD}b\r\n--x--\r\n".encode())
    parser.close()
