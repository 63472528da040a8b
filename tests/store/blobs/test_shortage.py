"""Full and read-only: on real file systems of a few pages, and a service that says so."""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.blobs.s3 import S3Blobs
from slicebank_store.errors import BlobMissing, BlobsFull, BlobsUnavailable

from .contract import KEY
from .test_directory import RawFolder

OTHER = "default/bags/dummy/b.h5"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a full disk needs the right to mount a small one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("put", ["file", "bytes"])
def test_a_full_disk_keeps_what_it_had_and_nothing_half_written(small_disk: Path, tmp_path: Path, put: str) -> None:
    blobs, raw = DirectoryBlobs(small_disk / "blobs"), RawFolder(small_disk / "blobs")
    blobs.put_bytes(KEY, b"old")
    large = tmp_path / "large"
    large.write_bytes(b"x" * 300_000)
    for key in (KEY, OTHER):
        with pytest.raises(BlobsFull, match=key):
            blobs.put_file(key, large) if put == "file" else blobs.put_bytes(key, large.read_bytes())
    assert raw.names() == [KEY]
    assert raw.read(KEY) == b"old"
    assert blobs.put_bytes(OTHER, b"x" * 100_000) == 100_000


def test_a_read_only_disk_can_be_read_and_says_that_it_cannot_be_written(small_disk: Path) -> None:
    blobs = DirectoryBlobs(small_disk / "blobs")
    blobs.put_bytes(KEY, b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    writes: tuple[Callable[[], object], ...] = (
        lambda: blobs.put_bytes(KEY, b"new"),
        lambda: blobs.put_bytes(OTHER, b""),
        lambda: blobs.delete(KEY),
    )
    for write in writes:
        with pytest.raises(BlobsUnavailable, match="EROFS"):
            write()
    with pytest.raises(BlobsUnavailable, match="EROFS"):
        DirectoryBlobs(small_disk / "elsewhere")
    with blobs.open_local(KEY) as path:
        assert path.read_bytes() == b"old"
    assert list(blobs.keys()) == [KEY]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert blobs.delete(KEY)


def test_what_another_user_owns_is_unavailable_and_not_missing(tmp_path: Path) -> None:
    blobs, closed = DirectoryBlobs(tmp_path / "blobs"), tmp_path / "blobs"
    blobs.put_bytes(KEY, b"old")
    closed.chmod(0o000)
    root = os.geteuid() == 0  # whom no mode keeps out
    if root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        refused: tuple[Callable[[], object], ...] = (
            lambda: blobs.put_bytes(OTHER, b"new"),
            lambda: blobs.size(KEY),
            lambda: blobs.exists(KEY),
            lambda: blobs.delete(KEY),
            lambda: list(blobs.keys()),
        )
        for call in refused:
            with pytest.raises(BlobsUnavailable, match="EACCES"):
                call()
    finally:
        if root:
            os.seteuid(0)
        closed.chmod(0o700)
    with blobs.open_local(KEY) as path:
        assert path.read_bytes() == b"old"
    assert list(blobs.keys()) == [KEY]


def test_a_blob_folder_that_is_gone_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    (tmp_path / "blobs").rmdir()
    with pytest.raises(BlobsUnavailable, match="ENOENT"):
        list(blobs.keys())
    with pytest.raises(BlobMissing):
        blobs.size(KEY)


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], S3Blobs]]:
    """A backend whose service answers every request with one status and code. No real one can be told to be full."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, code: str) -> S3Blobs:
        class Answer(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        return S3Blobs("bank", region="us-east-1", endpoint=endpoint, access_key_id="a", secret_access_key="b")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (507, "XMinioStorageFull", BlobsFull),
        (403, "QuotaExceeded", BlobsFull),
        (403, "AccessDenied", BlobsUnavailable),
        (503, "SlowDown", BlobsUnavailable),
    ],
)
def test_what_a_service_answers_becomes_an_error_of_the_store(
    answering: Callable[[int, str], S3Blobs], status: int, code: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answering(status, code).put_bytes(KEY, b"abc")
