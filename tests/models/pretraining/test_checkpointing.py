"""Checkpoints: whole at any moment, readable without code, refused where they are of another run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from slicebank_models.errors import BadPretrainingCheckpoint
from slicebank_models.pretraining.checkpointing import (
    FREE_SETTINGS,
    LATEST,
    PREVIOUS,
    PretrainingCheckpoint,
    differences,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from slicebank_models.pretraining.spec import PretrainingSpec


def checkpoint(step: int) -> PretrainingCheckpoint:
    return PretrainingCheckpoint(
        step=step,
        model={"weight": torch.full((3, 2), float(step))},
        optimiser={"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        spec=PretrainingSpec().as_dict(),
        cache_digest="ab" * 32,
        windows={"lung": (-1500.0, 500.0)},
        seconds=1.5 * step,
    )


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(3))
    read = load_checkpoint(tmp_path)
    assert read is not None
    assert (read.step, read.seconds, read.cache_digest) == (3, 4.5, "ab" * 32)
    assert read.windows == {"lung": (-1500.0, 500.0)}
    assert PretrainingSpec.parse(read.spec) == PretrainingSpec()
    assert torch.equal(read.model["weight"], torch.full((3, 2), 3.0))
    assert read.optimiser["param_groups"] == [{"lr": 0.1, "params": [0]}]


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, checkpoint(step))
    assert read_checkpoint(tmp_path / LATEST).step == 3
    assert read_checkpoint(tmp_path / PREVIOUS).step == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([LATEST, PREVIOUS])


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("survived", range(6))
def test_killed_between_any_two_steps_a_whole_one_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    """What touches the disk is counted: writing, syncing, two renames, syncing the folder."""
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2))
    left = [survived]

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: object, **named: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    counted(torch, "save")
    counted(os, "fsync")
    counted(Path, "replace")
    try:
        save_checkpoint(tmp_path, checkpoint(3))
    except Killed:
        assert survived < 5
    else:
        assert survived == 5
    read = load_checkpoint(tmp_path)
    assert read is not None
    assert read.step == (2 if survived < 4 else 3)


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, size: int) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2))
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:size])
    read = load_checkpoint(tmp_path)
    assert read is not None
    assert read.step == 1
    (tmp_path / PREVIOUS).write_bytes(b"tea")
    with pytest.raises(BadPretrainingCheckpoint, match=r"checkpoint\.pt is no whole .* checkpoint\.previous\.pt is no"):
        load_checkpoint(tmp_path)


def test_other_files_of_torch_are_none(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / LATEST)
    with pytest.raises(BadPretrainingCheckpoint, match="KeyError"):
        load_checkpoint(tmp_path)
    torch.save({"slicebank_pretraining": 99}, tmp_path / LATEST)
    with pytest.raises(BadPretrainingCheckpoint, match="has format 99"):
        load_checkpoint(tmp_path)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_no_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"slicebank_pretraining": 1, "model": Hostile()}, tmp_path / LATEST)
    with pytest.raises(BadPretrainingCheckpoint):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_differences_are_named_and_free_ones_are_not() -> None:
    one = PretrainingSpec.from_toml("", ["run.seed=1", "loss.lesion_weight=3", "run.max_steps=5"])
    assert differences(PretrainingSpec().as_dict(), one.as_dict()) == [
        "loss.lesion_weight was 0.0 and is 3.0",
        "run.seed was 0 and is 1",
    ]
    for name in FREE_SETTINGS:
        table, key = name.split(".")
        assert key in PretrainingSpec().as_dict()[table]


def test_a_setting_that_a_spec_of_before_lacks_was_the_default() -> None:
    saved = PretrainingSpec().as_dict()
    del saved["views"]["flip"]
    assert differences(saved, PretrainingSpec().as_dict()) == []
    other = PretrainingSpec.from_toml("", ["views.flip=0.1"])
    assert differences(saved, other.as_dict()) == ["views.flip was 0.5 and is 0.1"]
