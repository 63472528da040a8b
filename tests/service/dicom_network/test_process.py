"""The listener as a process of its own: killed, stopped, and never started."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import decode, encode
from typer import Typer
from typer.testing import CliRunner

from slicebank_service.dicom_network.commands import listen as listen_command

from .conftest import CT, EXPLICIT
from .raw_sender import RawSender, command

pytestmark = pytest.mark.system


@dataclass
class Running:
    process: subprocess.Popen[str]
    staging: Path
    port: int

    def associate(self) -> Association:
        sender = AE("SENDER")
        sender.add_requested_context(CT, [EXPLICIT])
        return sender.associate("127.0.0.1", self.port, ae_title="SLICEBANK")

    def arrived(self) -> int:
        return len(list(self.staging.glob("*/arriving/*")))


@contextmanager
def running(data_dir: Path) -> Iterator[Running]:
    environment = {
        **os.environ,
        "SLICEBANK_DATA_DIR": str(data_dir),
        "SLICEBANK_LISTEN_PORT": "0",
        "SLICEBANK_INTAKE_ENCODER": "hu_statistics",
        "SLICEBANK_MIN_FREE_BYTES": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "slicebank_service.dicom_network"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        assert said["event"] == "listening"
        yield Running(process, data_dir / "staging", said["port"])
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def data_dir(tmp_path: Path, empty_catalogue: Path) -> Path:
    shutil.copy(empty_catalogue, tmp_path / "catalogue.sqlite")
    return tmp_path


def test_nothing_that_was_acknowledged_is_lost_by_a_kill(data_dir: Path, slices: list[Dataset]) -> None:
    acknowledged = 0
    for round_number in range(4):
        with running(data_dir) as listener, RawSender(("127.0.0.1", listener.port)) as sender:
            sender.associate()
            killer = threading.Timer(0.05 * (round_number + 1), listener.process.kill)
            killer.start()
            acknowledged += stored_until_cut(sender, slices)
            killer.join()
            listener.process.wait(30)
            assert listener.arrived() >= acknowledged
    assert acknowledged


def stored_until_cut(sender: RawSender, slices: list[Dataset]) -> int:
    """Sends slices again and again until nobody answers; how many were acknowledged."""
    for number in itertools.count():
        dataset = slices[number % len(slices)]
        data = encode(dataset, is_implicit_vr=False, is_little_endian=True)
        assert data is not None
        try:
            sender.value(1, 3, command(1, sop_class=CT, sop_instance=dataset.SOPInstanceUID))
            sender.value(1, 2, data)
        except OSError:
            return number
        kind, body = sender.unit()
        if kind != 4:
            return number
        assert decode(BytesIO(body[6:]), True, True).Status == 0
    raise AssertionError("without end")


def test_sigterm_ends_it(data_dir: Path, slices: list[Dataset]) -> None:
    with running(data_dir) as listener:
        association = listener.associate()
        assert association.send_c_store(slices[0]).Status == 0
        association.release()
        listener.process.send_signal(signal.SIGTERM)
        assert listener.process.wait(30) == 0
        assert listener.arrived() == 1


def run_command(*arguments: str) -> tuple[int, str]:
    app = Typer()
    app.command()(listen_command)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_a_catalogue_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slicebank", "listen", "--data-dir", str(tmp_path), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "admin migrate" in done.stderr


def test_a_setting_that_makes_no_sense_is_refused_with_a_sentence() -> None:
    status, output = run_command("--aet", "A TITLE THAT IS TOO LONG")
    assert status == 2
    assert "listen_aet: " in output
