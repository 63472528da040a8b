"""Uploads that go on where they stopped: after a cut connection, after a killed client, after changed contents."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from slicebank import Client, Retries, errors
from tests.client.speaking_server import Reply, SpeakingServer
from tests.client.tus_server import TusServer, serving_tus

DICOM = bytes(128) + b"DICM"


@pytest.fixture
def tus() -> Iterator[TusServer]:
    with serving_tus() as running:
        yield running


@pytest.fixture
def sender(tus: TusServer) -> Iterator[Client]:
    with Client(tus.url, "key", timeout=5, retries=Retries(outage=5)) as made:
        yield made


def study(root: Path, n_files: int = 4, size: int = 200_000) -> Path:
    folder = root / "study"
    folder.mkdir(exist_ok=True)
    for number in range(n_files):
        (folder / f"{number}.dcm").write_bytes(DICOM + os.urandom(size))
    return folder


def members(body: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


def contents(folder: Path) -> dict[str, bytes]:
    return {f"study/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_in_one_go(sender: Client, tus: TusServer, tmp_path: Path, state_dir: Path) -> None:
    folder = study(tmp_path)
    sent = sender.series.upload(folder, encoder="e", patient="somebody", resumable=True)
    assert sent.job_ids == ("j",)
    assert members(bytes(tus.uploads["u0"])) == contents(folder)
    assert parse_qs(tus.queries[0])["patient"] == ["somebody"]
    assert tus.metadata == ["filetype YXBwbGljYXRpb24veC10YXI="]
    assert list((state_dir / "uploads").iterdir()) == []


def test_cut_connections_cost_no_byte_twice(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    folder = study(tmp_path)
    tus.cuts = [0, 1, 100_000, 333_333]
    sender.series.upload(folder, resumable=True)
    assert members(bytes(tus.uploads["u0"])) == contents(folder)
    assert tus.received == tus.lengths["u0"]
    assert tus.asked.count("POST") == 1


def test_an_upload_that_vanished_is_begun_again(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    folder = study(tmp_path)
    tus.cuts = [50_000]
    with Client(tus.url, "key", retries=Retries(outage=0)) as hasty, pytest.raises(errors.ConnectionFailed):
        hasty.series.upload(folder, resumable=True)
    tus.uploads.clear()
    sender.series.upload(folder, resumable=True)
    assert members(bytes(tus.uploads["u1"])) == contents(folder)


def test_other_contents_begin_anew(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    folder = study(tmp_path)
    tus.cuts = [50_000]
    with Client(tus.url, "key", retries=Retries(outage=0)) as hasty, pytest.raises(errors.ConnectionFailed):
        hasty.series.upload(folder, resumable=True)
    (folder / "3.dcm").write_bytes(DICOM + os.urandom(200_000))
    sender.series.upload(folder, resumable=True)
    assert members(bytes(tus.uploads["u1"])) == contents(folder)


def test_the_answer_is_waited_for_and_a_refusal_is_one(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    tus.not_yet = 1
    tus.answer = (422, {"code": "nothing_usable", "detail": "No.", "rejected": [{"name": "a", "code": "not_ct"}]})
    with pytest.raises(errors.NothingUsable) as caught:
        sender.series.upload(study(tmp_path), resumable=True)
    assert [item.code for item in caught.value.rejected] == ["not_ct"]


def test_a_file_that_changes_meanwhile_ends_the_upload(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    folder = study(tmp_path, 2)

    def change(now: object) -> None:
        if getattr(now, "sent_bytes", 0):
            os.utime(folder / "1.dcm", ns=(1, 1))

    with pytest.raises(errors.FileChanged):
        sender.series.upload(folder, resumable=True, on_progress=change)
    assert tus.uploads == {}


PROGRAM = """
import sys, time
from slicebank import Client
def slow(now):
    if now.sent_bytes:
        time.sleep(0.01)
print("ready", flush=True)
Client(sys.argv[1], "key").series.upload(sys.argv[2], resumable=True, on_progress=slow)
print("done", flush=True)
"""


def test_a_killed_client_goes_on(sender: Client, tus: TusServer, tmp_path: Path, state_dir: Path) -> None:
    folder = study(tmp_path, 8, 1_000_000)
    for limit in (1_000_000, 3_000_000):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, tus.url, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        while process.poll() is None and tus.received < limit:
            time.sleep(0.001)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    [state] = (state_dir / "uploads").iterdir()
    assert "study" not in state.read_text()
    # The server reads on what had been sent when the client died.
    before = tus.received
    while (time.sleep(0.2), tus.received)[1] != before:
        before = tus.received
    sender.series.upload(folder, resumable=True)
    assert list(tus.uploads) == ["u0"]
    assert members(bytes(tus.uploads["u0"])) == contents(folder)
    assert tus.received == tus.lengths["u0"]


def test_large_uploads_are_resumable_by_themselves(sender: Client, tus: TusServer, tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(DICOM)
        file.truncate(64_000_001)
    sender.series.upload(path)
    assert tus.received == tus.lengths["u0"] > 64_000_000


def test_a_server_without_the_route_gets_it_whole(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(DICOM)
        file.truncate(64_000_001)
    server.on("POST /v1/series", Reply(202, {"series": [{"series_uid": "1.2"}], "rejected": []}))
    assert [item.series_uid for item in client.series.upload(path)] == ["1.2"]
    assert len(server.asked("POST /v1/uploads")) == 1
