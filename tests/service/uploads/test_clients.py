"""tuspy over a real socket, and an API process that is killed."""

from __future__ import annotations

import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.service.support import ENCODER, KEY, MakeFiles, World
from tests.service.upload_forms import zipped
from tests.service.uploads.tus import listening

HEADERS = {"Authorization": f"Bearer {KEY}"}


def client_of(address: str) -> TusClient:
    return TusClient(f"{address}/v1/uploads?encoder={ENCODER}", headers=HEADERS)


def test_tuspy_uploads_in_parts_with_checksums(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    with listening(world.app()) as address:
        uploader = client_of(address).uploader(
            file_stream=io.BytesIO(content),
            chunk_size=len(content) // 3,
            upload_checksum=True,
            metadata={"filename": "DOE.zip"},
        )
        uploader.upload()
        assert uploader.request.status_code == 202
        answer = httpx.get(uploader.url, headers=HEADERS).json()
    assert answer["series"][0]["n_slices"] == 4
    assert world.queue.job_ids == [answer["series"][0]["job_id"]]


def test_tuspy_goes_on_where_another_client_stopped(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    with listening(world.app()) as address:
        first = client_of(address).uploader(file_stream=io.BytesIO(content), chunk_size=1000)
        first.upload_chunk()
        second = client_of(address).uploader(url=first.url, file_stream=io.BytesIO(content))
        assert second.offset == 1000
        second.upload()
        assert second.offset == len(content)
    assert len(world.queue.sent) == 1


def test_tuspy_says_why_an_upload_is_refused(world: World) -> None:
    with listening(world.app()) as address:
        uploader = client_of(address).uploader(file_stream=io.BytesIO(b"no CT " * 100))
        with pytest.raises(TusUploadFailed) as refused:
            uploader.upload()
    assert b'"code":"nothing_usable"' in refused.value.response_content
    assert b'"code":"not_dicom"' in refused.value.response_content
    with listening(world.app(max_upload_bytes=10)) as address:
        uploader = client_of(address).uploader(file_stream=io.BytesIO(b"no CT " * 100))
        with pytest.raises(TusCommunicationError) as large:
            uploader.upload()
    assert b'"code":"body_too_large"' in large.value.response_content


def test_a_client_that_is_cut_off_anywhere_goes_on(world: World, make_files: MakeFiles) -> None:
    content = zipped(make_files())
    rng = random.Random(1)
    with listening(world.app()) as address:
        uploader = client_of(address).uploader(file_stream=io.BytesIO(content))
        url = uploader.create_url()
        host, port = address.removeprefix("http://").split(":")
        for _ in range(10):
            at = client_of(address).uploader(url=url, file_stream=io.BytesIO(content)).offset
            end = at + rng.randrange(1, max(2, (len(content) - at) // 2))
            with socket.create_connection((host, int(port))) as raw:
                head = (
                    f"PATCH /v1/uploads/{url.rpartition('/')[2]} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
                    f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\nContent-Length: {len(content) - at}\r\n"
                    "Content-Type: application/offset+octet-stream\r\n\r\n"
                )
                raw.sendall(head.encode() + content[at:end])
                time.sleep(0.05)  # what a server has not read when a connection closes is lost with it
        last = client_of(address).uploader(url=url, file_stream=io.BytesIO(content))
        assert 0 < last.offset < len(content)
        last.upload()
        assert last.request.status_code == 202
    assert len(world.queue.sent) == 1


@contextmanager
def api_process(world: World) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A whole API process on the folders of a world; its broker is away, which delays jobs and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "slicebank_service", "--fd", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env={**os.environ, "SLICEBANK_DATA_DIR": str(world.settings.data_dir), "SLICEBANK_API_KEY": KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # The socket listens already, so the first request waits until the process does.
            assert httpx.get(f"{address}/health", timeout=60).status_code == 200
            yield process, address
        finally:
            process.kill()
            process.wait()


def test_an_upload_survives_the_process_that_took_its_bytes(world: World, make_files: MakeFiles) -> None:
    content = zipped({**make_files(), "padding.bin": bytes(5 * 1024 * 1024)})
    half = len(content) // 2
    with api_process(world) as (process, address):
        uploader = client_of(address).uploader(file_stream=io.BytesIO(content))
        url = uploader.create_url()
        place = world.staging_dir / url.rpartition("/")[2] / "body"

        def half_then_kill() -> Iterator[bytes]:
            yield content[:half]
            deadline = time.monotonic() + 60
            while not place.stat().st_size and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            yield content[half:]

        headers = {
            **HEADERS,
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        }
        with pytest.raises(httpx.TransportError):
            httpx.patch(url, headers=headers, content=half_then_kill(), timeout=60)
    with api_process(world) as (_, address):
        again = client_of(address).uploader(
            url=f"{address}/v1/uploads/{url.rpartition('/')[2]}", file_stream=io.BytesIO(content)
        )
        assert 0 < again.offset <= half
        again.upload()
        assert again.request.status_code == 202
    (series,) = world.catalogue.series.list("default").items
    assert series.current_revision == 1
