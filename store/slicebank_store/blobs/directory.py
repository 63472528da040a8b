"""Blobs in a directory, local or shared."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from slicebank_store.blobs.keys import check_key
from slicebank_store.errors import BlobMissing

# Keys begin with a letter or digit, so no key can name a half-written file.
_PARTIAL = ".partial-"


class DirectoryBlobs:
    """A file per blob below one folder. Writers put a hidden file beside the target and rename it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put_file(self, key: str, local: Path) -> int:
        """Stores a copy of a local file, replacing what was under the key; its size in bytes."""
        with local.open("rb") as source, self._writing(key) as target:
            shutil.copyfileobj(source, target, 1 << 20)
            return target.tell()

    def put_bytes(self, key: str, data: bytes) -> int:
        """Stores bytes, replacing what was under the key; their count."""
        with self._writing(key) as target:
            target.write(data)
        return len(data)

    @contextmanager
    def open_local(self, key: str) -> Iterator[Path]:
        """The blob's own file, to be read while inside and never written.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        path = self._path(key)
        if not path.is_file():
            raise _missing(key)
        yield path

    def size(self, key: str) -> int:
        """Bytes of the blob.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise _missing(key) from None

    def exists(self, key: str) -> bool:
        """Whether something is stored under the key."""
        return self._path(key).is_file()

    def delete(self, key: str) -> bool:
        """Removes the blob; False where there was none."""
        path = self._path(key)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync_folder(path.parent)
        return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with a text, in order; half-written blobs are not among them."""
        found = (
            path.relative_to(self._root).as_posix()
            for path in self._root.rglob("*")
            if not path.name.startswith(".") and path.is_file()
        )
        return iter(sorted(key for key in found if key.startswith(prefix)))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextmanager
    def _writing(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_PARTIAL)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename or removal in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(key: str) -> BlobMissing:
    return BlobMissing(
        f"Nothing is stored under {key}: it was deleted, or the blob folder is not the one the catalogue belongs to."
    )
