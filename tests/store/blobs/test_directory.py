from __future__ import annotations

import stat
from pathlib import Path

import pytest

from slicebank_store.blobs import DirectoryBlobs

from .contract import KEY, BlobContract


class RawFolder:
    """The folder, read without the backend."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def names(self) -> list[str]:
        return sorted(path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file())


class TestDirectory(BlobContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> DirectoryBlobs:
        return DirectoryBlobs(tmp_path / "blobs")

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawFolder:
        return RawFolder(tmp_path / "blobs")


def test_a_half_written_blob_is_not_listed_and_has_no_final_suffix(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    with blobs._writing(KEY) as file:
        file.write(b"half")
        (half,) = (tmp_path / KEY).parent.iterdir()
        assert half.suffix != ".h5"
        assert list(blobs.keys()) == []
        assert not blobs.exists(KEY)
    assert list(blobs.keys()) == [KEY]


def test_folders_and_files_are_private(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    blobs.put_bytes(KEY, b"")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs" / KEY).stat().st_mode) == 0o600


def test_an_open_blob_can_be_read_to_its_end_although_it_is_removed(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put_bytes(KEY, b"0123456789")
    with blobs.open_reader(KEY) as reader:
        assert blobs.delete(KEY)
        assert reader.read(4, 100) == b"456789"


def test_keys_come_in_the_order_of_their_characters(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    # "-" and "." sort before "/", "0" behind it.
    keys = ["a-b/x", "a.b/x", "a/x", "a0/x"]
    for key in reversed(keys):
        blobs.put_bytes(key, b"")
    assert list(blobs.keys()) == keys
    assert list(blobs.keys("a/")) == ["a/x"]
    assert list(blobs.keys("a")) == keys
