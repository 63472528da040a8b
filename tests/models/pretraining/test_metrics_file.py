"""metrics.csv: exact numbers, no step twice, no line of a step that is still to come."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slicebank_models.pretraining.metrics_file import COLUMNS, NAME, MetricsFile, MetricsLine, read_metrics

LINE = MetricsLine(
    step=1,
    epoch=0.25,
    loss=8.5,
    lr=1e-4,
    momentum=0.99,
    accuracy=0.5,
    feature_std=0.75,
    alignment=1.25,
    uniformity=-3.5,
    slices_per_s=120.5,
    seconds=60.25,
)


def write(folder: Path, steps: range, last_step: int = 0) -> None:
    with MetricsFile(folder, last_step) as file:
        for step in steps:
            file.append(replace(LINE, step=step))


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    probed = replace(LINE, step=2, probe_auroc=0.75, probe_balanced_accuracy=0.5)
    with MetricsFile(tmp_path, 0) as file:
        file.append(LINE)
        file.append(probed)
    assert read_metrics(tmp_path) == [LINE, probed]
    head, first, _ = (tmp_path / NAME).read_text().splitlines()
    assert head == ",".join(COLUMNS)
    assert first == "1,0.25,8.5,0.0001,0.99,0.5,0.75,1.25,-3.5,120.5,60.25,,"


def test_every_line_is_there_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with MetricsFile(tmp_path, 0) as file:
        file.append(LINE)
        assert read_metrics(tmp_path) == [LINE]


@given(loss=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float32_keeps_its_bits(loss: float) -> None:
    text = format(float(loss), ".9g")
    assert np.float32(float(text)) == np.float32(loss)
    assert math.copysign(1.0, float(text)) == math.copysign(1.0, loss)


def test_steps_after_the_checkpoint_go_and_come_once(tmp_path: Path) -> None:
    write(tmp_path, range(1, 10))
    write(tmp_path, range(7, 12), last_step=6)
    assert [line.step for line in read_metrics(tmp_path)] == list(range(1, 12))


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    whole = (tmp_path / NAME).read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        (tmp_path / NAME).write_bytes(whole[:-cut])
        assert [line.step for line in read_metrics(tmp_path)] == [1, 2]
    write(tmp_path, range(3, 5), last_step=3)
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2, 3, 4]


def test_a_new_run_begins_a_new_file(tmp_path: Path) -> None:
    write(tmp_path, range(1, 10))
    write(tmp_path, range(1, 3), last_step=0)
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_process_that_writes_nothing_writes_nothing(tmp_path: Path) -> None:
    with MetricsFile(None, 0) as file:
        file.append(LINE)
    assert read_metrics(tmp_path) == []
