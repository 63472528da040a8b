"""The demo as a user runs it: a server of its own, an answer, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry

pytestmark = pytest.mark.system


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the demo with its scratch folders below `folder` and Ctrl-C as a terminal delivers it."""
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "slicebank", "demo", "--json", "--output", str(folder / "results"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def processes_about(folder: Path) -> list[str]:
    """Command lines and environments that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in told:
                found.append(told.decode(errors="replace")[:200])
    return found


def test_from_phantoms_to_a_prediction(tmp_path: Path) -> None:
    process = demo(tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    told = json.loads(out)
    with_lesion, without = (item["outputs"][0]["probability"] for item in told["predictions"])
    assert with_lesion > 0.5 > without
    attention = told["predictions"][0]["attention"]
    assert sum(item["weight"] for item in attention["rows"]) == pytest.approx(1.0)
    assert next(item["slice_index"] for item in attention["slices"] if item["rank"] == 1) in told["lesion_slices"]
    assert told["bag"]["untrained"] is not EncoderRegistry().get(DEFAULT_ENCODER).trained
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")
    assert processes_about(tmp_path) == []
    assert list((tmp_path / "tmp").glob("slicebank-*")) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    process = demo(tmp_path)
    while not list((tmp_path / "tmp").glob("slicebank-demo-*/server/logs/embed.log")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode in (1, 130)
    assert "Traceback" not in err
    assert processes_about(tmp_path) == []
    assert list((tmp_path / "tmp").glob("slicebank-*")) == []


def test_a_folder_without_ct_says_so_and_keeps_the_logs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.dcm").write_bytes(b"not DICOM")
    process = demo(tmp_path, "--data", str(data))
    out, err = process.communicate()
    assert process.returncode == 1
    assert json.loads(out)["error"]["code"] == "nothing_usable"
    assert "Traceback" not in err
    assert (tmp_path / "results" / "server-logs" / "api.log").exists()
    assert processes_about(tmp_path) == []
