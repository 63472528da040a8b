"""`slicebank pretrain run` and `settings`, as they speak."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from slicebank_models.pretraining import scalars
from slicebank_models.pretraining.metrics_file import read_metrics
from slicebank_models.pretraining.slice_cache import SliceCache, is_cache
from slicebank_models.pretraining.spec import PretrainingSpec
from slicebank_models.pretraining.training import Progress
from slicebank_worker.commands.pretraining import print_settings, run_pretraining
from slicebank_worker.commands.training_progress import LINE_EVERY_S, TrainingProgress, asked_to_stop
from tests.models.pretraining.test_metrics_file import LINE
from tests.models.pretraining.tiny_cache import TinySource, tiny_cache
from tests.models.pretraining.tiny_runs import OVERRIDES, tiny_spec


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return tiny_cache(tmp_path_factory.mktemp("caches") / "tiny")


def invoke(function: Callable[..., Any], *arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(function)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def settings(*overrides: str) -> list[str]:
    return [part for override in (*OVERRIDES, *overrides) for part in ("--set", override)]


def run(*arguments: object) -> tuple[int, str]:
    code, output = invoke(run_pretraining, "--device", "cpu", *arguments)
    return code, " ".join(output.split())


def test_a_run_from_a_cache_says_what_it_does_and_what_comes_next(cache: SliceCache, tmp_path: Path) -> None:
    code, output = run(cache.folder, "--out", tmp_path, *settings("run.max_steps=3"))
    assert code == 0, output
    assert (
        "LECL of timm:test_byobnet.r160_in1k on 48 slices, 24 of them with lesion boxes; batches of 8 on cpu" in output
    )
    assert "step 3 of 3: loss" in output
    assert "Stopped by run.max_steps at step 3 of 25" in output
    assert f"slicebank pretrain export {tmp_path}" in output
    assert "slicebank encoders add" in output


def test_the_folder_knows_its_settings(cache: SliceCache, tmp_path: Path) -> None:
    """Without settings those of the run hold, but not where they ended it."""
    assert run(cache.folder, "--out", tmp_path, *settings("run.max_steps=2", "run.seed=9"))[0] == 0
    code, output = run(cache.folder, "--out", tmp_path, "--set", "run.max_steps=4")
    assert code == 0, output
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2, 3, 4]
    assert PretrainingSpec.from_toml((tmp_path / "settings.toml").read_text()) == tiny_spec(
        "run.max_steps=4", "run.seed=9"
    )
    code, output = run(cache.folder, "--out", tmp_path, "--set", "optimiser.lr=1")
    assert code == 1
    assert "optimiser.lr was 0.02 and is 1.0" in output


def test_anything_else_is_cached_first(tmp_path: Path) -> None:
    given = ("--side", 64, *settings("run.max_steps=1", "optimiser.batch_size=4", "run.validation_fraction=0"))
    code, output = run("phantoms:1", "--out", tmp_path / "run", *given)
    assert code == 0, output
    assert is_cache(tmp_path / "run" / "cache")
    code, output = run("--out", tmp_path / "run", "--set", "run.max_steps=2")
    assert code == 0, output
    assert "Stopped by run.max_steps at step 2" in output


def test_what_is_wrong_is_said_in_a_sentence(cache: SliceCache, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--out", tmp_path / "a"), "Name a cache, or what one is to be made from"),
        ((cache.folder, "--out", tmp_path / "b"), "--set optimiser.batch_size=16"),
        ((cache.folder, "--out", tmp_path / "c", "--set", "loss.weight=1"), "There is no setting loss.weight"),
        ((tmp_path / "nothing", "--out", tmp_path / "d", *settings()), "nothing"),
    ):
        code, output = run(*arguments)
        assert code == 1, output
        assert sentence in output


def test_slices_without_boxes_are_remarked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "has_tensorboard", lambda: False)
    cache = tiny_cache(tmp_path / "cache", TinySource(boxes=False))
    code, output = run(cache.folder, "--out", tmp_path / "run", *settings("run.max_steps=1"))
    assert code == 0, output
    assert "No slice has a box, so that LECL does what MoCo v3 does." in output
    assert "pip install 'slicebank[train]'" in output


def test_settings_are_printed_to_be_read_back(tmp_path: Path) -> None:
    code, output = invoke(print_settings, "--set", "loss.lesion_weight=3", "--set", "model.architecture=vmamba_tiny")
    assert code == 0
    spec = PretrainingSpec.from_toml(output)
    assert (spec.loss.lesion_weight, spec.model.architecture) == (3.0, "vmamba_tiny")
    file = tmp_path / "settings.toml"
    file.write_text(output)
    assert invoke(print_settings, "--settings", file) == (0, output)
    file.write_bytes(b"\xff\xfe")
    code, output = invoke(print_settings, "--settings", file)
    assert code == 1
    assert "no text in UTF-8" in " ".join(output.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_a_second_one_ends(number: signal.Signals) -> None:
    ended: list[int] = []
    before = signal.signal(number, lambda given, frame: ended.append(given))
    try:
        with asked_to_stop() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.is_set()
            assert ended == []
            os.kill(os.getpid(), number)
            assert ended == [number]
        os.kill(os.getpid(), number)
        assert ended == [number, number]
    finally:
        signal.signal(number, before)


def shown(*progress: Progress, terminal: bool = False, clock: Callable[[], float] = lambda: 0.0) -> str:
    text = io.StringIO()
    with TrainingProgress(Console(file=text, force_terminal=terminal, width=120), clock) as bar:
        for step in progress:
            bar.show(step)
    return text.getvalue()


def test_where_there_is_no_terminal_lines_come_now_and_then() -> None:
    times = iter([0.0, 1.0, LINE_EVERY_S, LINE_EVERY_S + 1.0, LINE_EVERY_S + 2.0])
    logged = [Progress(step, 5, replace(LINE, step=step, loss=float(step))) for step in range(1, 6)]
    output = shown(*logged, clock=lambda: next(times))
    assert [line.split(":")[0] for line in output.splitlines()] == ["step 1 of 5", "step 3 of 5", "step 5 of 5"]
    assert "step 3 of 5: loss 3.0000, 120.5 slices/s" in output


def test_notes_are_shown_everywhere_and_probes_are_named() -> None:
    for terminal in (False, True):
        output = shown(Progress(1, 2, replace(LINE, probe_auroc=0.75), note="It has collapsed."), terminal=terminal)
        assert "It has collapsed." in output
        assert "probe AUROC 0.750" in output


def test_on_a_terminal_a_bar_counts_steps() -> None:
    output = shown(Progress(1, 40), Progress(7, 40, LINE), terminal=True)
    assert "7/40" in output
    assert "loss 8.5000, 120.5 slices/s" in output
