"""The probe's question, its features and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from slicebank_models.pretraining.contrastive import build_contrastive
from slicebank_models.pretraining.linear_probe import (
    ALWAYS,
    ProbedCache,
    ProbeTask,
    embed_slices,
    fit_probe,
    probe_task,
)
from tests.models.pretraining.tiny_cache import WINDOWS, TinySource, tiny_cache
from tests.models.pretraining.tiny_runs import tiny_spec

TRAIN, HELD_OUT = np.arange(0, 600), np.arange(600, 800)


@dataclass
class Answers:
    """A cache without pixels."""

    labels: NDArray[np.str_]
    annotated: NDArray[np.bool_]

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        raise AssertionError("a question needs no pixels")


def answers(labels: list[str], boxes: list[bool]) -> Answers:
    return Answers(np.array(labels), np.array(boxes))


def task_of(cache: ProbedCache, most: int = 100) -> ProbeTask | None:
    return probe_task(cache, TRAIN, HELD_OUT, most=most, seed=3)


def test_labels_are_asked_for_where_both_sides_have_two_classes() -> None:
    task = task_of(answers(["liver", "", "lung", "bone"] * 150 + ["lung", "liver", "", ""] * 50, [True] * 800))
    assert task is not None
    assert (task.name, task.classes) == ("label", ("liver", "lung"))
    assert set(task.train) <= set(TRAIN)
    assert set(task.validation) <= set(HELD_OUT)
    assert np.bincount(task.train_answers).tolist() == [50, 50]
    assert np.bincount(task.validation_answers).tolist() == [50, 50]


def test_else_lesion_or_none_is_asked() -> None:
    task = task_of(answers(["liver", ""] * 400, [True] + [False] * 599 + [True, False] * 100))
    assert task is not None
    assert (task.name, task.classes) == ("lesion", ("lesion", "none"))
    assert np.bincount(task.train_answers).tolist() == [1, 99], "the rare class is taken whole"


@pytest.mark.parametrize("boxes", [[False] * 800, [True] * 800, [True] * 600 + [False] * 200])
def test_where_there_is_no_question_none_is_asked(boxes: list[bool]) -> None:
    assert task_of(answers([""] * 800, boxes)) is None
    assert probe_task(answers([""] * 800, boxes), TRAIN, np.arange(0), most=9, seed=0) is None


def test_answers_belong_to_their_slices() -> None:
    cache = answers([f"c{number % 3}" for number in range(800)], [True] * 800)
    task = task_of(cache)
    assert task is not None
    assert [task.classes[answer] for answer in task.train_answers] == cache.labels[task.train].tolist()
    assert [task.classes[answer] for answer in task.validation_answers] == cache.labels[task.validation].tolist()


def test_probes_stay_cheap() -> None:
    cache = answers([""] * 800, [True, False] * 400)
    task = task_of(cache, most=10_000)
    assert task is not None
    assert len(task.train) == ALWAYS
    assert len(task.validation) == 200


def separable(shift: float) -> tuple[ProbeTask, NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    truth = np.arange(200) % 2
    rows = generator.normal(0.0, 1.0, (400, 8)).astype(np.float32)
    rows[:, 3] += shift * np.tile(truth, 2)
    task = ProbeTask("lesion", ("lesion", "none"), np.arange(200), np.arange(200, 400), truth, truth)
    return task, rows[:200], rows[200:]


def test_what_can_be_told_is_told_and_noise_is_not() -> None:
    told, noise = fit_probe(*separable(10.0)), fit_probe(*separable(0.0))
    assert told.auroc > 0.999
    assert told.balanced_accuracy > 0.99
    assert 0.35 < noise.auroc < 0.65
    assert fit_probe(*separable(10.0)) == told


def test_several_classes() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(300) % 3
    rows = (np.eye(3)[truth] * 8 + generator.normal(0, 1, (300, 3))).astype(np.float32)
    task = ProbeTask("label", ("a", "b", "c"), np.arange(300), np.arange(300), truth, truth)
    assert fit_probe(task, rows, rows).auroc > 0.99


def test_features_are_those_of_whole_slices_in_every_window(tmp_path: Path) -> None:
    """Against torch's own antialiased resize; the encoder is in evaluation mode and back in training after."""
    cache = tiny_cache(tmp_path / "cache", TinySource(patients=6))
    encoder = build_contrastive(tiny_spec().model, 0).encoder
    bounds = torch.tensor(list(WINDOWS.values()))
    indices = np.array([7, 3, *range(10, 45)])
    rows = embed_slices(
        encoder, cache, indices, windows=bounds, input_size=32, device=torch.device("cpu"), dtype=torch.float32
    )
    assert encoder.training
    assert rows.shape == (37, 2 * encoder.dim)
    hu = torch.from_numpy(cache.read(indices)).float()
    encoder.eval()
    for place, (low, high) in enumerate(bounds.tolist()):
        grey = 255.0 * ((hu - low) / (high - low)).clamp(0.0, 1.0)
        resized = F.interpolate(grey[:, None], (32, 32), mode="bilinear", antialias=True)[:, 0]
        with torch.no_grad():
            expected = encoder(resized)
        found = torch.from_numpy(rows[:, place * encoder.dim : (place + 1) * encoder.dim])
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
