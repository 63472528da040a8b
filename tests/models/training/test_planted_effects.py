"""Every kind of task recovers an effect that was planted in a few rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, Target
from slicebank_models.training.train_head import TrainedHead, train_head

DIM, BAGS = 8, 90
TRAINING = TrainingSpec(lr=5e-3, batch_size=16, max_epochs=14, patience=14, folds=2, test_fraction=0.0)


class Planted:
    """Unit noise; rows 2 and 3 of bag i are moved by `strength[i]` times 8 along its own feature."""

    def __init__(self, strength: np.ndarray) -> None:
        self.strength = strength

    def features(self, index: int) -> np.ndarray:
        rows = np.random.default_rng([9, index]).normal(size=(10 + index % 3, DIM))
        rows[2:4, : self.strength.shape[1]] += 8 * self.strength[index]
        return rows.astype(np.float32)


def train(task: TaskSpec, strength: np.ndarray, targets: list[Target]) -> TrainedHead:
    return train_head(
        Planted(strength),
        [Case(at, f"p{at:03d}", target) for at, target in enumerate(targets)],
        task,
        TRAINING,
        head=HeadSpec(width=32, dropout=0.1),
        protocol=ProtocolSpec(bootstrap=0),
        dim=DIM,
        level=EncoderLevel.SLICE,
        progress=lambda done, total: False,
    )


def multilabel() -> tuple[TaskSpec, np.ndarray, list[Target]]:
    signs = np.random.default_rng(0).integers(0, 2, (BAGS, 2))
    targets: list[Target] = [(int(a), None if at % 7 == 0 else int(b)) for at, (a, b) in enumerate(signs)]
    return TaskSpec(TaskKind.MULTILABEL, ("a", "b")), signs.astype(float), targets


def multiclass() -> tuple[TaskSpec, np.ndarray, list[Target]]:
    classes = np.arange(BAGS) % 3
    return TaskSpec(TaskKind.MULTICLASS, ("x", "y", "z")), np.eye(3)[classes], [(int(one),) for one in classes]


def regression() -> tuple[TaskSpec, np.ndarray, list[Target]]:
    strength = np.random.default_rng(1).uniform(0, 1, (BAGS, 1))
    return TaskSpec(TaskKind.REGRESSION, ("size_mm",)), strength, [(40 + 25 * float(one),) for (one,) in strength]


def survival() -> tuple[TaskSpec, np.ndarray, list[Target]]:
    generator = np.random.default_rng(2)
    strength = generator.uniform(0, 1, (BAGS, 1))
    times = generator.exponential(np.exp(-4 * strength[:, 0]))
    return (
        TaskSpec(TaskKind.SURVIVAL, ("months", "died")),
        strength,
        [(float(time), int(at % 4 != 0)) for at, time in enumerate(times)],
    )


@pytest.mark.parametrize(
    ("planted", "metric", "least"),
    [(multilabel, "auroc", 0.9), (multiclass, "auroc", 0.9), (regression, "r2", 0.5), (survival, "c_index", 0.68)],
)
def test_every_kind_of_task_recovers_a_planted_effect(
    planted: Callable[[], tuple[TaskSpec, np.ndarray, list[Target]]], metric: str, least: float
) -> None:
    task, strength, targets = planted()
    trained = train(task, strength, targets)
    assert trained.report["pooled"][metric] > least
    again = train(task, strength, targets)
    assert again.ensemble.to_bytes() == trained.ensemble.to_bytes()
    shuffled = [targets[at] for at in np.random.default_rng(3).permutation(BAGS)]
    assert train(task, strength, shuffled).report["pooled"][metric] < least - 0.1


def test_class_weights_even_out_what_a_rare_answer_is_worth() -> None:
    """With one positive bag in ten and little to tell it by, weights move the mean probability to one half."""
    positive = np.arange(BAGS) % 10 == 0
    cases = [Case(at, f"p{at:03d}", (int(one),)) for at, one in enumerate(positive)]
    means = []
    for weighted in (False, True):
        training = TrainingSpec.parse({**TRAINING.as_dict(), "class_weights": weighted})
        trained = train_head(
            Planted(np.zeros((BAGS, 1))),
            cases,
            TaskSpec(TaskKind.BINARY, ("rare",)),
            training,
            head=HeadSpec(width=32, dropout=0.1),
            protocol=ProtocolSpec.parse({"bootstrap": 0, "calibration": "none"}),
            dim=DIM,
            level=EncoderLevel.SLICE,
            progress=lambda done, total: False,
        )
        means.append(np.mean([row["probabilities"][0] for row in trained.report["out_of_fold"]]))
    assert means[0] < 0.2
    assert 0.35 < means[1] < 0.65
