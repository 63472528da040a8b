"""What could be DICOM, told by name and first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicebank.upload.formats import reason_to_skip

DICOM = bytes(128) + b"DICM" + bytes(20)
DATA_SET = b"\x08\x00\x05\x00CS\n\x00ISO_IR 100"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dcm", DICOM),
        ("picture.png", DICOM),  # the preamble speaks louder than the name
        (".hidden", DICOM),
        ("README", DICOM),
        ("a", DATA_SET),
        ("a.dcm", b"anything at all"),
        ("IM0001", b"\x00" * 40),
        ("1.2.840.113619.2.55", b"\x00" * 40),
        ("scan.IMA", b"\x00" * 40),
        ("scan.weird", DATA_SET),
        ("scan.weird", b"\x00\x08\x00\x05"),
    ],
)
def test_could_be_dicom(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert reason_to_skip(path, len(content)) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".DS_Store", b"\x00\x00\x00\x01Bud1"),
        ("Thumbs.db", b"x"),
        ("labels.csv", b"a,b"),
        ("DICOMDIR", DICOM),
        ("photo.JPG", b"\xff\xd8\xff"),
        ("noext", b"\x89PNG\r\n"),
        ("noext", b"%PDF-1.7"),
        ("noext", b"PK\x03\x04"),
        ("scan.weird", b"hello"),
        ("empty.dcm", b""),
        ("LICENSE", b"Apache"),
    ],
)
def test_is_plainly_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert reason_to_skip(path, len(content))
