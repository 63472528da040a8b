"""Blobs in a directory, local or shared."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from slicebank_store.blobs.failures import mapped_os_errors
from slicebank_store.blobs.keys import check_key
from slicebank_store.blobs.protocol import Unfinished
from slicebank_store.errors import BlobMissing

PARTIAL_PREFIX = ".partial-"
"""Begins the name of a half-written file. Keys begin with a letter or digit, so no key can name one."""

_BLOCK_BYTES = 1 << 20


class DirectoryBlobs:
    """A file per blob below one folder. Writers put a hidden file beside the target and rename it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with mapped_os_errors("the blob folder"):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put_file(self, key: str, local: Path) -> int:
        """Stores a copy of a local file, replacing what was under the key; its size in bytes."""
        with local.open("rb") as source:
            return self._put(key, iter(lambda: source.read(_BLOCK_BYTES), b""))

    def put_bytes(self, key: str, data: bytes) -> int:
        """Stores bytes, replacing what was under the key; their count."""
        return self._put(key, [data])

    @contextmanager
    def open_local(self, key: str) -> Iterator[Path]:
        """The blob's own file, to be read while inside and never written.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        self.size(key)
        yield self._path(key)

    @contextmanager
    def open_reader(self, key: str) -> Iterator[FileReader]:
        """The blob, to be read in parts; it can be read to its end even when it is removed meanwhile.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        self.size(key)
        with mapped_os_errors(key):
            try:
                file = self._path(key).open("rb")
            except FileNotFoundError:
                raise _missing(key) from None
        with file:
            yield FileReader(file, key)

    def size(self, key: str) -> int:
        """Bytes of the blob.

        Raises:
            BlobMissing: nothing is stored under the key.
        """
        path = self._path(key)
        with mapped_os_errors(key):
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                raise _missing(key) from None
        if not stat.S_ISREG(found.st_mode):
            raise _missing(key)
        return found.st_size

    def exists(self, key: str) -> bool:
        """Whether something is stored under the key."""
        try:
            self.size(key)
        except BlobMissing:
            return False
        return True

    def delete(self, key: str) -> bool:
        """Removes the blob; False where there was none."""
        path = self._path(key)
        with mapped_os_errors(key):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            _sync_folder(path.parent)
        return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with a text, in order; memory grows with the largest folder, some 200 bytes a name."""
        folder = prefix.rpartition("/")[0]
        for key in self._walk(self.root / folder, f"{folder}/" if folder else ""):
            if key.startswith(prefix):
                yield key

    def sweep_unfinished(self, *, older_than_s: float, dry_run: bool = False) -> Iterator[Unfinished]:
        """Removes half-written files whose writer died.

        Args:
            older_than_s: files written to more lately stay: their writer may live.
            dry_run: only tells what would be removed.
        """
        limit = time.time() - older_than_s
        with mapped_os_errors("half-written files"):
            for path in self.root.rglob(f"{PARTIAL_PREFIX}*"):
                try:
                    found = path.stat()
                    if found.st_mtime >= limit:
                        continue
                    if not dry_run:
                        path.unlink()
                except FileNotFoundError:  # renamed or removed by its writer meanwhile
                    continue
                yield Unfinished(path.relative_to(self.root).as_posix(), found.st_size)

    def _walk(self, folder: Path, above: str) -> Iterator[str]:
        with mapped_os_errors(above or "the blob folder"):
            try:
                with os.scandir(folder) as entries:
                    # A folder sorts as its name and a slash, so that all keys come in order.
                    found = sorted(
                        f"{entry.name}/" if entry.is_dir() else entry.name
                        for entry in entries
                        if not entry.name.startswith(".") and (entry.is_dir() or entry.is_file())
                    )
            except (FileNotFoundError, NotADirectoryError):
                if folder == self.root:
                    raise
                return
        for name in found:
            if name.endswith("/"):
                yield from self._walk(folder / name, above + name)
            else:
                yield above + name

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _put(self, key: str, blocks: Iterable[bytes]) -> int:
        with self._writing(key) as file:
            for block in blocks:
                rest = memoryview(block)
                with mapped_os_errors(key):
                    while len(rest):  # one write may take only a part
                        rest = rest[file.write(rest) :]
            return file.tell()

    @contextmanager
    def _writing(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with mapped_os_errors(key):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL_PREFIX)
        temporary = Path(name)
        try:
            # Not buffered: what the disk refuses is refused by the write, and nothing is left for the closing.
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                yield file
                with mapped_os_errors(key):
                    os.fsync(file.fileno())
            with mapped_os_errors(key):
                temporary.replace(path)
        except BaseException:
            with mapped_os_errors(key):
                temporary.unlink(missing_ok=True)
            raise
        with mapped_os_errors(key):
            _sync_folder(path.parent)


class FileReader:
    """An open file, read as a blob is. Any thread may call it."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file = file
        self._key = key

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        with mapped_os_errors(self._key):
            return os.fstat(self._file.fileno()).st_size

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer than `length` only where the blob ends."""
        with mapped_os_errors(self._key):
            return os.pread(self._file.fileno(), length, start)


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
