from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicebank_store.multipart_related import MalformedMultipart, MediaType, RelatedParts

BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
DICOMWEB_CLIENT = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


def message(
    parts: list[bytes],
    *,
    first: bytes = b"\r\n",
    last: bytes = b"",
    headers: bytes = b"Content-Type: application/dicom\r\n",
) -> bytes:
    """A body as dicomweb-client writes it: a line break before the first boundary and none after the last."""
    delimiter = f"--{BOUNDARY}".encode()
    body = (b"\r\n" + delimiter).join([b"", *(b"\r\n" + headers + b"\r\n" + part for part in parts)])
    return first + body.removeprefix(b"\r\n") + b"\r\n" + delimiter + b"--" + last


def read(folder: Path, body: bytes, cut: int, content_type: str = DICOMWEB_CLIENT) -> list[tuple[str, bytes]]:
    parts = RelatedParts(content_type, place=lambda number, _: folder / str(number))
    found = []
    try:
        for start in range(0, len(body), cut):
            found += parts.feed(body[start : start + cut])
        parts.finish()
    finally:
        parts.close()
    assert all(part.path.stat().st_size == part.size_bytes for part in found)
    return [(part.media_type, part.path.read_bytes()) for part in found]


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("first", "last"), [(b"\r\n", b""), (b"", b"\r\n"), (b"text before\r\n", b"\r\ntext after"), (b"\r\n\r\n", b"")]
)
def test_every_form_of_beginning_and_end(tmp_path: Path, cut: int, first: bytes, last: bytes) -> None:
    wanted = [b"one", b"", b"\r\n--three\r\n"]
    found = read(tmp_path, message(wanted, first=first, last=last), cut)
    assert found == [("application/dicom", part) for part in wanted]


@given(
    parts=st.lists(st.binary(max_size=200) | st.sampled_from([b"\r\n--", b"\r", b"--" + BOUNDARY[:-1].encode()])),
    cut=st.integers(1, 300),
)
def test_what_was_sent_arrives(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], cut: int) -> None:
    found = read(tmp_path_factory.mktemp("parts"), message(parts or [b""]), cut)
    assert [content for _, content in found] == (parts or [b""])


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        (b"", "application/dicom"),
        (b"Content-Length: 3\r\n", "application/dicom"),
        (b'Content-Type: application/dicom; transfer-syntax="1.2.840.10008.1.2.4.80"\r\n', "application/dicom"),
        (b"content-type:APPLICATION/DICOM+JSON\r\n", "application/dicom+json"),
        (b"Content-Type: nonsense\r\n", ""),
        (b"MIME-Version: 1.0\r\nContent-Type: application/dicom\r\nContent-Location: x\r\n", "application/dicom"),
    ],
)
def test_a_part_says_what_it_is_or_the_message_does(tmp_path: Path, headers: bytes, media_type: str) -> None:
    assert read(tmp_path, message([b"one"], headers=headers), 1 << 20) == [(media_type, b"one")]


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        (DICOMWEB_CLIENT, MediaType("multipart/related", BOUNDARY, "application/dicom")),
        ("Multipart/Related;boundary=a;TYPE=application/dicom", MediaType("multipart/related", "a", "application/dicom")),
        ('multipart/related; boundary="a b"; type="Application/Dicom"', MediaType("multipart/related", "a b", "application/dicom")),
        ("application/dicom", MediaType("application/dicom", "", "")),
        ("", MediaType("", "", "")),
        ("nonsense", MediaType("", "", "")),
    ],
)  # fmt: skip
def test_media_types(header: str, parsed: MediaType) -> None:
    assert MediaType.parse(header) == parsed


@pytest.mark.parametrize(
    "header", ["multipart/related", "multipart/form-data; boundary=a", "multipart/related; boundary=" + "x" * 300]
)
def test_headers_of_no_message(tmp_path: Path, header: str) -> None:
    with pytest.raises(MalformedMultipart):
        RelatedParts(header, place=lambda number, _: tmp_path / str(number))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"no boundary anywhere",
        b"x" * 10_000,
        message([b"one", b"two"])[:-3],
        message([b"one"]).replace(b"Content-Type", b"Content\x00Type"),
        message([b"one"]).replace(b"\r\n\r\n", b"\r\n"),
    ],
)
@pytest.mark.parametrize("cut", [1, 1 << 20])
def test_broken_bodies(tmp_path: Path, body: bytes, cut: int) -> None:
    with pytest.raises(MalformedMultipart):
        read(tmp_path, body, cut)


def test_the_caller_may_refuse_a_part(tmp_path: Path) -> None:
    class Refused(Exception):
        pass

    def place(number: int, media_type: str) -> Path:
        if number == 2:
            raise Refused
        return tmp_path / str(number)

    parts = RelatedParts(DICOMWEB_CLIENT, place=place)
    with pytest.raises(Refused):
        parts.feed(message([b"one", b"two", b"three"]))
    parts.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
