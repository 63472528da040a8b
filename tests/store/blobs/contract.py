"""What every blob backend must do. A backend's tests inherit `BlobContract` and give two fixtures."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from slicebank_store.blobs import BlobStore
from slicebank_store.errors import BadKey, BlobMissing

KEY = "default/bags/dummy/a.h5"


class Raw(Protocol):
    """Access to what a backend stored that does not go through the backend."""

    def read(self, key: str) -> bytes: ...

    def names(self) -> list[str]: ...


class BlobContract:
    """Needs the fixtures `blobs: BlobStore`, empty, and `raw: Raw`."""

    def test_bytes_come_back(self, blobs: BlobStore, raw: Raw) -> None:
        assert blobs.put_bytes(KEY, b"abc") == 3
        assert raw.read(KEY) == b"abc"
        with blobs.open_local(KEY) as path:
            assert path.read_bytes() == b"abc"
        assert blobs.size(KEY) == 3
        assert blobs.exists(KEY)

    def test_files_are_copied(self, blobs: BlobStore, raw: Raw, tmp_path: Path) -> None:
        local = tmp_path / "local"
        local.write_bytes(b"x" * 3_000_000)
        assert blobs.put_file(KEY, local) == 3_000_000
        local.write_bytes(b"changed")
        assert raw.read(KEY) == b"x" * 3_000_000

    def test_empty_blobs_are_blobs(self, blobs: BlobStore) -> None:
        blobs.put_bytes(KEY, b"")
        assert blobs.exists(KEY)
        assert blobs.size(KEY) == 0

    def test_put_replaces(self, blobs: BlobStore, raw: Raw) -> None:
        blobs.put_bytes(KEY, b"first")
        blobs.put_bytes(KEY, b"2nd")
        assert raw.read(KEY) == b"2nd"

    def test_missing_blobs_are_named(self, blobs: BlobStore) -> None:
        assert not blobs.exists(KEY)
        with pytest.raises(BlobMissing, match=KEY):
            blobs.size(KEY)
        with pytest.raises(BlobMissing, match=KEY), blobs.open_local(KEY):
            pass

    def test_parts_are_read_without_the_rest(self, blobs: BlobStore) -> None:
        blobs.put_bytes(KEY, b"0123456789")
        with blobs.open_reader(KEY) as reader:
            assert reader.size == 10
            assert reader.read(3, 4) == b"3456"
            assert reader.read(8, 100) == b"89"
            assert reader.read(10, 1) == b""
        blobs.put_bytes(KEY, b"")
        with blobs.open_reader(KEY) as reader:
            assert (reader.size, reader.read(0, 10)) == (0, b"")
        blobs.delete(KEY)
        with pytest.raises(BlobMissing, match=KEY), blobs.open_reader(KEY):
            pass

    def test_delete_twice(self, blobs: BlobStore, raw: Raw) -> None:
        blobs.put_bytes(KEY, b"abc")
        assert blobs.delete(KEY)
        assert not blobs.delete(KEY)
        assert not blobs.exists(KEY)
        assert raw.names() == []

    def test_keys_are_listed_in_order_by_prefix(self, blobs: BlobStore) -> None:
        keys = [
            "default/bags/dummy/b.h5",
            "default/bags/dummy/a.h5",
            "default/heads/h.safetensors",
            "other/bags/x/a.h5",
        ]
        for key in keys:
            blobs.put_bytes(key, b"")
        assert list(blobs.keys()) == sorted(keys)
        assert list(blobs.keys("default/bags/")) == sorted(keys[:2])
        assert list(blobs.keys("nothing")) == []

    @pytest.mark.parametrize(
        "key", ["", "a", "/a/b", "a//b", "a/../b", "../a", "a/.b", "a/b/", "a/b\\..\\c d", "a/" + "b" * 129, "a/b\x00"]
    )
    def test_keys_of_a_forbidden_form_are_refused(self, blobs: BlobStore, key: str, tmp_path: Path) -> None:
        (tmp_path / "local").write_bytes(b"")
        for call in (blobs.size, blobs.exists, blobs.delete):
            with pytest.raises(BadKey):
                call(key)
        with pytest.raises(BadKey):
            blobs.put_bytes(key, b"")
        with pytest.raises(BadKey):
            blobs.put_file(key, tmp_path / "local")
        for opening in (blobs.open_local, blobs.open_reader):
            with pytest.raises(BadKey), opening(key):
                pass

    def test_a_failed_put_leaves_nothing(self, blobs: BlobStore, raw: Raw, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            blobs.put_file(KEY, tmp_path / "nothing")
        with pytest.raises(TypeError):
            blobs.put_bytes(KEY, "text")  # type: ignore[arg-type]
        assert raw.names() == []

    def test_readers_never_see_half_a_blob(self, blobs: BlobStore) -> None:
        sizes = (100_000, 200_000, 300_000)
        blobs.put_bytes(KEY, b"\0" * sizes[0])
        done = threading.Event()

        def read() -> set[int]:
            seen = set()
            while not done.is_set():
                with blobs.open_local(KEY) as path:
                    seen.add(len(path.read_bytes()))
            return seen

        with ThreadPoolExecutor(2) as threads:
            readers = [threads.submit(read) for _ in range(2)]
            for size in sizes * 10:
                blobs.put_bytes(KEY, b"\0" * size)
            done.set()
        assert set().union(*(reader.result() for reader in readers)) <= set(sizes)

    def test_writers_of_one_key_do_not_mix(self, blobs: BlobStore, raw: Raw) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda digit: blobs.put_bytes(KEY, str(digit).encode() * 50_000), range(8)))
        assert len(set(raw.read(KEY))) == 1
        assert raw.names() == [KEY]
