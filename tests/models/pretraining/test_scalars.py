"""TensorBoard's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slicebank_models.pretraining import scalars
from slicebank_models.pretraining.scalars import FOLDER, Scalars
from tests.models.pretraining.test_metrics_file import LINE


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / FOLDER)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_lines_become_scalars_and_a_resumed_run_has_no_step_twice(tmp_path: Path) -> None:
    with Scalars(tmp_path, 0) as written:
        for step in (1, 2, 3):
            written.append(replace(LINE, step=step, loss=float(step)))
    with Scalars(tmp_path, 2) as written:
        written.append(replace(LINE, step=3, loss=30.0, probe_auroc=0.75))
    found = read(tmp_path)
    assert found["training/loss"] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert found["probe/auroc"] == [(3, 0.75)]
    assert "probe/balanced_accuracy" not in found


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "has_tensorboard", lambda: False)
    with Scalars(tmp_path, 0) as written:
        written.append(LINE)
    with Scalars(None, 0) as written:
        written.append(LINE)
    assert list(tmp_path.iterdir()) == []
