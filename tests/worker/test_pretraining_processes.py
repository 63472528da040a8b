"""`slicebank pretrain run` as processes: two of them, killed ones, and ones that are asked to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from slicebank_models.pretraining.metrics_file import read_metrics
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.training import pretrain
from tests.models.pretraining.tiny_cache import WINDOWS, tiny_cache
from tests.models.pretraining.tiny_runs import OVERRIDES, curve, same_weights, tiny_spec, weights

SLICEBANK = str(Path(sys.executable).with_name("slicebank"))
STEPS = 50
GIVEN = ("optimiser.epochs=10", "run.checkpoint_steps=3")
LIMIT_S = 300
POLL_S = 0.002

# Sums of float32 in another order: what two processes may differ by, of losses and of weights.
TOLERANCE = 1e-4
# AdamW takes the sign of small gradients, so that rounding grows from step to step: at this rate to 2e-5 of a loss and 7e-7
# of a weight, which moves by 1e-3. At ten times this rate the curves part after ten steps.
SMALL_RATE = "optimiser.lr=0.002"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return tiny_cache(tmp_path_factory.mktemp("caches") / "tiny")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As the processes here: sums in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(cache: SliceCache, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    pretrain(cache, tiny_spec(*GIVEN), folder, windows=WINDOWS)
    return folder


def command(cache: SliceCache, folder: Path, *overrides: str) -> list[str]:
    settings = [part for override in (*OVERRIDES, *overrides) for part in ("--set", override)]
    return [SLICEBANK, "pretrain", "run", str(cache.folder), "--out", str(folder), "--device", "cpu", *settings]


def start(words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == status, output
    return output


def signal_at(process: subprocess.Popen[str], folder: Path, step: int, number: signal.Signals) -> None:
    """Sends a signal once metrics.csv has the line of a step."""
    until = time.monotonic() + LIMIT_S
    while len(read_metrics(folder)) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "no such step came"
        time.sleep(POLL_S)
    process.send_signal(number)


def test_a_killed_run_goes_on_with_the_same_curve(cache: SliceCache, undisturbed: Path, tmp_path: Path) -> None:
    words = command(cache, tmp_path, *GIVEN)
    killed = start(words)
    signal_at(killed, tmp_path, 8, signal.SIGKILL)
    finish(killed, -signal.SIGKILL)
    output = finish(start(words))
    assert f"Done: step {STEPS} of {STEPS}" in output
    assert f"slicebank pretrain export {tmp_path}" in output
    assert curve(tmp_path) == curve(undisturbed)
    assert same_weights(weights(tmp_path), weights(undisturbed))


@pytest.mark.slow
def test_however_often_it_is_killed(cache: SliceCache, undisturbed: Path, tmp_path: Path) -> None:
    words = command(cache, tmp_path, *GIVEN)
    for step in (1, 3, 4, 9, 15, 28, 29, 40):
        killed = start(words)
        signal_at(killed, tmp_path, step, signal.SIGKILL)
        finish(killed, -signal.SIGKILL)
    finish(start(words))
    assert curve(tmp_path) == curve(undisturbed)
    assert same_weights(weights(tmp_path), weights(undisturbed))


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_says_how_to_go_on(cache: SliceCache, tmp_path: Path) -> None:
    words = command(cache, tmp_path, *GIVEN, "run.checkpoint_steps=1000")
    stopped = start(words)
    signal_at(stopped, tmp_path, 4, signal.SIGTERM)
    output = finish(stopped, 1)
    assert "The same command goes on from here." in " ".join(output.split())
    last = read_metrics(tmp_path)[-1].step
    assert 4 <= last < STEPS
    output = finish(start([*words, "--set", f"run.max_steps={last + 2}"]))
    assert f"step {last + 2} of {STEPS}" in output
    assert [line.step for line in read_metrics(tmp_path)] == list(range(1, last + 3))


def test_two_processes_train_as_one(cache: SliceCache, one_thread: None, tmp_path: Path) -> None:
    """Twenty steps of the same global batches under torchrun, with a linear probe on the way."""
    given = (*GIVEN, SMALL_RATE, "run.max_steps=20", "run.probe_epochs=2")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    output = finish(start([*torchrun, *command(cache, tmp_path / "two", *given)]))
    assert output.count(f"Stopped by run.max_steps at step 20 of {STEPS}") == 1, "one process alone speaks"
    pretrain(cache, tiny_spec(*given), tmp_path / "one", windows=WINDOWS)
    one, two = read_metrics(tmp_path / "one"), read_metrics(tmp_path / "two")
    assert [line.step for line in two] == [line.step for line in one] == list(range(1, 21))
    for here, there in zip(two, one, strict=True):
        for name in ("loss", "accuracy", "feature_std", "alignment", "uniformity"):
            assert getattr(here, name) == pytest.approx(getattr(there, name), abs=TOLERANCE), (here.step, name)
    assert two[9].probe_auroc is not None
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name].double(), tensor.double(), rtol=0.0, atol=TOLERANCE), name
