"""The five-minute example of docs/pretraining.md, command by command as it stands there, on phantoms and in a smaller form."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_imaging.phantom.lesions import random_lesion
from slicebank_store.types import JobState
from tests.worker.conftest import Workshop

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pretraining.md"
N = 12
# What the example says, and what stands for it here: the same commands in seconds.
SMALLER = {
    "--side 256": "--side 64",
    "input_size = 96": "input_size = 32",
    "hidden_dim = 512": "hidden_dim = 16",
    "batch_size = 32": "batch_size = 8",
    "epochs = 20\n": "epochs = 2\n",
    "warmup_epochs = 2\n": "warmup_epochs = 1\n",
}


class Table(Protocol):
    """Takes rows, as `csv.writer` does."""

    def writerow(self, row: Iterable[object], /) -> object: ...


def documented() -> tuple[str, list[str]]:
    """Settings and commands of the example, in their smaller form."""
    text = PAGE.read_text()
    for said, smaller in SMALLER.items():
        assert said in text, said
        text = text.replace(said, smaller)
    settings = re.search(r"`five.toml`:\n\n```toml\n(.*?)```", text, re.DOTALL)
    commands = re.search(r"<!-- five minutes -->\n```\n(.*?)```", text, re.DOTALL)
    assert settings is not None
    assert commands is not None
    return settings[1], commands[1].splitlines()


def write_study(folder: Path, boxes: Table, seed: int, n_boxes: int) -> dict[str, bytes]:
    """One study below a folder, with rows for the table: sop_instance_uid, x_min, y_min, x_max, y_max."""
    spec = PhantomSpec(seed=seed, n_slices=N, size=64)
    phantom = make_phantom(spec, [random_lesion(spec, seed + 100 * number) for number in range(5)])
    written = write_dicom(phantom, folder / f"study{seed}")
    found = [box for lesion in phantom.lesions for box in lesion.boxes][:n_boxes]
    assert len(found) == n_boxes
    for box in found:
        uid = written.sop_instance_uids[box.slice_index]
        boxes.writerow([uid, box.column_start, box.row_start, box.column_stop, box.row_stop])
    return {path.name: path.read_bytes() for path in written.paths}


def test_the_documented_commands_make_an_encoder_that_embeds(workshop: Workshop, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (home / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sop_instance_uid", "x_min", "y_min", "x_max", "y_max"])
        studies = [write_study(home / "ct", table, seed, n_boxes) for seed, n_boxes in ((0, 4), (1, 3), (2, 3))]

    settings, (*commands, upload) = documented()
    (home / "five.toml").write_text(settings)
    told = ""
    for command in commands:
        word, *arguments = shlex.split(command.replace("~", str(home)))
        assert word == "slicebank"
        done = subprocess.run(
            [sys.executable, "-m", "slicebank", *arguments],
            cwd=home,
            env={**os.environ, "SLICEBANK_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        told += done.stdout + done.stderr
        assert done.returncode == 0, told
    assert "10 lesion boxes" in told

    encoder = upload.rpartition(" ")[2]
    assert upload == f"slicebank upload ~/ct --encoder {encoder}"
    card = workshop.world.registry.get(encoder)
    assert (card.trained, card.licence, card.input_size) == (True, "not for passing on", 32)
    series = workshop.upload(studies[0], encoder=encoder)
    job = workshop.run(series["job_id"])
    assert job.state is JobState.SUCCEEDED, job
    answer = workshop.api.get(f"/v1/bags/{series['bag_id']}/file")
    with h5py.File(io.BytesIO(answer.content)) as bag:
        features = bag["feats"][:]
        assert bag.attrs["weights_digest"] == card.weights_digest
    assert features.shape == (2 * N, 288)
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 0
