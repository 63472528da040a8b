"""The loop: it learns, stops, goes on with the same curve, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from slicebank_models.errors import (
    BadPretrainingCheckpoint,
    BadPretrainingSetting,
    PretrainingDiverged,
    PretrainingError,
)
from slicebank_models.pretraining.checkpointing import LATEST, PREVIOUS, read_checkpoint
from slicebank_models.pretraining.metrics_file import NAME, read_metrics
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.spec import PretrainingSpec
from slicebank_models.pretraining.training import Progress, RunResult, pretrain
from tests.models.pretraining.tiny_cache import WINDOWS, TinySource, tiny_cache
from tests.models.pretraining.tiny_runs import curve, same_weights, tiny_spec, weights

STEPS = 25  # 40 slices to train on, five epochs of five batches


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return tiny_cache(tmp_path_factory.mktemp("caches") / "tiny")


def run(
    cache: SliceCache,
    folder: Path,
    *overrides: str,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> RunResult:
    return pretrain(cache, tiny_spec(*overrides), folder, windows=WINDOWS, stop=stop, on_progress=on_progress)


@pytest.fixture(scope="module")
def undisturbed(cache: SliceCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    result = run(cache, folder, "run.checkpoint_steps=7", "run.probe_epochs=2")
    assert (result.step, result.total_steps, result.interrupted) == (STEPS, STEPS, False)
    return folder


def test_a_run_leaves_its_curve_settings_record_and_checkpoints(cache: SliceCache, undisturbed: Path) -> None:
    lines = read_metrics(undisturbed)
    assert [line.step for line in lines] == list(range(1, STEPS + 1))
    assert lines[4].epoch == 1.0
    assert lines[0].lr == 0.0
    assert lines[5].lr == pytest.approx(0.02 * 8 / 256)
    assert lines[0].momentum == pytest.approx(0.99)
    probed = [line.step for line in lines if line.probe_auroc is not None]
    assert probed == [10, 20, 25]
    spec = PretrainingSpec.from_toml((undisturbed / "settings.toml").read_text())
    assert spec == tiny_spec("run.checkpoint_steps=7", "run.probe_epochs=2")
    record = json.loads((undisturbed / "record.json").read_text())
    assert (record["step"], record["train_slices"], record["validation_patients"]) == (STEPS, 40, 1)
    assert (record["cache_digest"], record["probe"], record["precision"]) == (cache.digest, "lesion", "float32")
    assert read_checkpoint(undisturbed / LATEST).step == STEPS
    assert read_checkpoint(undisturbed / PREVIOUS).step == 21
    assert list((undisturbed / "tensorboard").iterdir())


def test_the_encoder_is_trained_and_its_copy_follows(undisturbed: Path) -> None:
    after, before = weights(undisturbed), read_checkpoint(undisturbed / PREVIOUS).model
    moved = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    assert any(name.startswith("encoder.") for name in moved)
    assert any(name.startswith("momentum_encoder.") for name in moved)
    assert any("running_mean" in name for name in moved)


@pytest.mark.parametrize("stop_at", [3, 14])
def test_a_stopped_run_goes_on_with_the_same_curve(
    cache: SliceCache, undisturbed: Path, tmp_path: Path, stop_at: int
) -> None:
    steps: list[int] = []
    given = ("run.checkpoint_steps=7", "run.probe_epochs=2")
    first = run(
        cache, tmp_path, *given, stop=lambda: len(steps) >= stop_at - 1, on_progress=lambda at: steps.append(at.step)
    )
    assert (first.step, first.interrupted) == (stop_at, True)
    second = run(cache, tmp_path, *given, on_progress=lambda at: steps.append(at.step))
    assert (second.step, second.interrupted) == (STEPS, False)
    assert steps == list(range(1, STEPS + 1))
    assert curve(tmp_path) == curve(undisturbed)
    assert same_weights(weights(tmp_path), weights(undisturbed))
    assert second.seconds > first.seconds > 0


def test_a_run_that_lost_its_last_checkpoint_goes_on_from_the_one_before(
    cache: SliceCache, undisturbed: Path, tmp_path: Path
) -> None:
    """As after a kill: lines beyond the checkpoint are there, one of them cut off."""
    run(cache, tmp_path, "run.checkpoint_steps=4", "run.max_steps=10", "run.probe_epochs=2")
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:5000])
    with (tmp_path / NAME).open("a") as file:
        file.write("11,2.2,0.1")
    result = run(cache, tmp_path, "run.checkpoint_steps=4", "run.probe_epochs=2")
    assert result.step == STEPS
    assert curve(tmp_path) == curve(undisturbed)
    assert same_weights(weights(tmp_path), weights(undisturbed))


def test_a_finished_run_has_nothing_to_do(cache: SliceCache, undisturbed: Path) -> None:
    before = (undisturbed / LATEST).read_bytes(), curve(undisturbed)
    steps: list[int] = []
    result = run(cache, undisturbed, "run.probe_epochs=2", on_progress=lambda at: steps.append(at.step))
    assert (result.step, steps) == (STEPS, [])
    assert ((undisturbed / LATEST).read_bytes(), curve(undisturbed)) == before


def test_another_seed_is_another_curve(cache: SliceCache, undisturbed: Path, tmp_path: Path) -> None:
    run(cache, tmp_path, "run.seed=1", "run.max_steps=3")
    assert [line.loss for line in read_metrics(tmp_path)] != [line.loss for line in read_metrics(undisturbed)][:3]


def test_other_settings_do_not_go_on(cache: SliceCache, tmp_path: Path) -> None:
    run(cache, tmp_path, "run.max_steps=2")
    with pytest.raises(BadPretrainingCheckpoint, match=r"optimiser\.lr was 0\.02 and is 0\.01"):
        run(cache, tmp_path, "optimiser.lr=0.01")
    assert run(cache, tmp_path, "run.max_steps=3", "run.log_steps=2", "run.readers=2").step == 3


def test_other_slices_do_not_go_on(cache: SliceCache, tmp_path: Path) -> None:
    run(cache, tmp_path, "run.max_steps=2")
    other = tiny_cache(tmp_path / "other", TinySource(seed=1))
    with pytest.raises(BadPretrainingCheckpoint, match="other slices"):
        run(other, tmp_path, "run.max_steps=3")


def test_other_windows_do_not_go_on(cache: SliceCache, tmp_path: Path) -> None:
    run(cache, tmp_path, "run.max_steps=2")
    with pytest.raises(BadPretrainingCheckpoint, match="windows"):
        pretrain(cache, tiny_spec(), tmp_path, windows={**WINDOWS, "lung": (-1400.0, 500.0)})


def test_an_unknown_window_and_too_few_slices_are_refused(cache: SliceCache, tmp_path: Path) -> None:
    with pytest.raises(BadPretrainingSetting, match="there is no window 'lungs'"):
        run(cache, tmp_path, 'views.windows=["lungs"]')
    with pytest.raises(BadPretrainingSetting, match=r"40 slices .* --set optimiser\.batch_size="):
        run(cache, tmp_path, "optimiser.batch_size=64")


def test_one_run_a_folder(cache: SliceCache, tmp_path: Path) -> None:
    def second(progress: Progress) -> None:
        with pytest.raises(PretrainingError, match="Another process trains"):
            run(cache, tmp_path)

    assert run(cache, tmp_path, "run.max_steps=1", on_progress=second).step == 1


@pytest.mark.parametrize("given", ["run.log_steps=1", "run.log_steps=5", "run.checkpoint_steps=4"])
def test_a_loss_that_is_no_number_ends_the_run(cache: SliceCache, tmp_path: Path, given: str) -> None:
    """As a rate that is far too high does, sooner: a weight that is no number."""
    run(cache, tmp_path, "run.max_steps=2")
    document = torch.load(tmp_path / LATEST, weights_only=True)
    document["model"]["predictor.0.weight"][0, 0] = float("nan")
    torch.save(document, tmp_path / LATEST)
    before = (tmp_path / LATEST).read_bytes()
    with pytest.raises(PretrainingDiverged, match=r"at step 3\. The last checkpoint is of step 2\."):
        run(cache, tmp_path, "run.log_steps=1000", given)
    assert (tmp_path / LATEST).read_bytes() == before
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2]


def test_logged_rarely_the_curve_is_the_same_at_its_steps(cache: SliceCache, undisturbed: Path, tmp_path: Path) -> None:
    run(cache, tmp_path, "run.log_steps=10", "run.readers=3", "run.probe_epochs=2")
    whole = {line["step"]: line for line in curve(undisturbed)}
    assert curve(tmp_path) == [whole[step] for step in (10, 20, 25)]


def test_a_split_may_be_given(cache: SliceCache, tmp_path: Path) -> None:
    split = np.arange(16), np.arange(32, 48)
    result = pretrain(cache, tiny_spec("optimiser.epochs=2"), tmp_path, windows=WINDOWS, split=split)
    assert result.total_steps == 4
    assert json.loads((tmp_path / "record.json").read_text())["train_patients"] == 2


def test_randomness_around_it_is_left_alone(cache: SliceCache, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(cache, tmp_path, "run.max_steps=1", "run.deterministic=true")
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
