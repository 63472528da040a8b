import json

import numpy as np
import pytest

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import DimensionMismatch, OneClassOnly, TrainingCancelled, TrainingDiverged
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.bags import CachedBags, sample_rows
from slicebank_models.training.train_head import TrainedHead, train_head

BINARY = TaskSpec(TaskKind.BINARY, ("lesion",))
QUICK = TrainingSpec(lr=3e-3, batch_size=8, max_epochs=8, patience=4, folds=3, max_rows=12)
DIM = 8


class Memory:
    """Bags of unit noise; rows 3 to 5 of a positive bag stand out in feature 0, of class 2 in feature 1."""

    def __init__(self, targets: list[int], rows: int = 16) -> None:
        self.asked: list[int] = []
        generator = np.random.default_rng(0)
        self.bags = []
        for at, target in enumerate(targets):
            bag = generator.normal(size=(rows + at % 5, DIM)).astype(np.float32)
            if target:
                bag[3:6, target - 1] += 4
            self.bags.append(bag)

    def features(self, index: int) -> np.ndarray:
        self.asked.append(index)
        return self.bags[index]


def never(done: int, total: int) -> bool:
    assert 0 <= done <= total
    return False


def train(
    targets: list[int], task: TaskSpec = BINARY, training: TrainingSpec = QUICK, memory: Memory | None = None
) -> TrainedHead:
    cases = [Case(at, f"p{at}", (target,)) for at, target in enumerate(targets)]
    return train_head(
        memory or Memory(targets), cases, task, training, dim=DIM, level=EncoderLevel.SLICE, progress=never
    )


@pytest.fixture(scope="module")
def trained() -> TrainedHead:
    return train([at % 2 for at in range(60)])


def test_it_finds_what_is_there_and_where(trained: TrainedHead) -> None:
    unseen = Memory([0, 1] * 10)
    predictions = [trained.ensemble.predict(bag) for bag in unseen.bags]
    probabilities = np.array([prediction.outputs[0].probability for prediction in predictions])
    assert probabilities[1::2].min() > probabilities[::2].max()
    assert all(3 <= prediction.attention.argmax() <= 5 for prediction in predictions[1::2])


def test_the_report_says_everything_and_is_json(trained: TrainedHead) -> None:
    report = trained.report
    assert json.loads(json.dumps(report)) == report
    assert (report["n_cases"], report["n_patients"], len(report["folds"])) == (60, 60, 3)
    for fold in report["folds"]:
        assert {"auroc", "auprc", "f1", "accuracy", "labels", "best_epoch", "steps"} <= set(fold)
        assert 1 <= fold["best_epoch"] <= fold["epochs"] <= 8
    assert report["mean"]["auroc"] == pytest.approx(np.mean([fold["auroc"] for fold in report["folds"]]))
    assert report["test"]["labels"]["lesion"]["n"] == len(report["test_predictions"]) == 12
    assert sorted(row["index"] for row in report["out_of_fold"] + report["test_predictions"]) == list(range(60))
    assert {row["fold"] for row in report["out_of_fold"]} == {0, 1, 2}
    assert report["pooled"]["auroc"] > 0.9


def test_the_same_arguments_give_the_same_bits_and_another_seed_others(trained: TrainedHead) -> None:
    again = train([at % 2 for at in range(60)])
    assert again.ensemble.to_bytes() == trained.ensemble.to_bytes()
    assert again.report == trained.report
    other = train([at % 2 for at in range(60)], training=TrainingSpec.parse({**QUICK.as_dict(), "seed": 1}))
    assert other.ensemble.to_bytes() != trained.ensemble.to_bytes()


def test_folds_start_from_different_weights_and_bags_are_read_once() -> None:
    memory = Memory([0, 1] * 9)
    training = TrainingSpec(max_epochs=1, folds=3, lr=1e-8, test_fraction=0.0)
    head = train([0, 1] * 9, training=training, memory=memory)
    assert sorted(memory.asked) == list(range(18))
    assert head.ensemble.predict(memory.bags[0]).outputs[0].fold_std > 1e-4
    assert any("optimiser steps" in warning for warning in head.report["warnings"])
    assert head.report["test"] is None


def test_multiclass_and_multilabel_with_unknown_answers() -> None:
    targets = [at % 3 for at in range(45)]
    head = train(targets, TaskSpec(TaskKind.MULTICLASS, ("none", "a", "b")))
    assert head.report["pooled"]["accuracy"] > 0.7
    cases = [
        Case(at, f"p{at}", (int(t == 1), None if at % 5 == 0 else int(t == 2))) for at, t in enumerate(targets)
    ] + [Case(45, "p45", (None, None))]
    task = TaskSpec(TaskKind.MULTILABEL, ("a", "b"))
    both = train_head(Memory([*targets, 0]), cases, task, QUICK, dim=DIM, level=EncoderLevel.SLICE, progress=never)
    assert both.report["n_cases"] == 45
    assert both.report["mean"]["labels"]["b"]["auroc"] > 0.8


def test_scan_level_bags_have_one_row() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 1, DIM)).astype(np.float32)
    rows[::2, 0, 0] += 4

    class Scans:
        def features(self, index: int) -> np.ndarray:
            return rows[index]

    cases = [Case(at, f"p{at}", (int(at % 2 == 0),)) for at in range(40)]
    head = train_head(Scans(), cases, BINARY, QUICK, dim=DIM, level=EncoderLevel.SCAN, progress=never)
    assert head.ensemble.level is EncoderLevel.SCAN
    assert head.report["pooled"]["auroc"] > 0.9


def test_the_best_epoch_is_kept_not_the_last() -> None:
    """A head that overfits sees its loss rise again; what is served must have the loss that was reported."""
    targets = [at % 2 for at in range(24)]
    training = TrainingSpec(lr=0.01, batch_size=4, max_epochs=12, patience=12, folds=2, test_fraction=0.0)
    memory = Memory(targets)
    head = train(targets, training=training, memory=memory)
    assert any(fold["best_epoch"] < fold["epochs"] for fold in head.report["folds"])
    for fold in head.report["folds"]:
        rows = [row for row in head.report["out_of_fold"] if row["fold"] == fold["fold"]]
        right = [abs(1 - row["target"][0] - row["probabilities"][0]) for row in rows]
        loss = -np.mean(np.log(np.maximum(right, 1e-300)))
        assert loss == pytest.approx(fold["validation_loss"], rel=1e-3, abs=1e-6)


def test_it_stops_when_asked() -> None:
    seen = []

    def stop_at_third(done: int, total: int) -> bool:
        seen.append((done, total))
        return done >= 3

    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(30)]
    with pytest.raises(TrainingCancelled):
        train_head(
            Memory([at % 2 for at in range(30)]),
            cases,
            BINARY,
            QUICK,
            dim=DIM,
            level=EncoderLevel.SLICE,
            progress=stop_at_third,
        )
    assert [done for done, _ in seen] == [0, 1, 2, 3]


def test_what_cannot_be_trained_is_refused_before_any_bag_is_read() -> None:
    memory = Memory([0] * 20)
    with pytest.raises(OneClassOnly):
        train([0] * 20, memory=memory)
    assert memory.asked == []


def test_bags_that_do_not_fit_are_named() -> None:
    targets = [0, 1] * 10
    memory = Memory(targets)
    memory.bags[7] = memory.bags[7][:, :3]
    with pytest.raises(DimensionMismatch, match="Bag 7"):
        train(targets, memory=memory)
    memory = Memory(targets)
    memory.bags[7][0, 0] = np.nan
    with pytest.raises(DimensionMismatch, match="Bag 7"):
        train(targets, memory=memory)


def test_a_loss_that_explodes_is_an_error() -> None:
    targets = [0, 1] * 10
    memory = Memory(targets)
    for bag in memory.bags:
        bag *= np.float32(1e30)
    with pytest.raises(TrainingDiverged, match="lr"):
        train(targets, memory=memory)


def test_the_cache_keeps_to_its_limit() -> None:
    memory = Memory([0] * 4, rows=10)
    cached = CachedBags(memory, DIM, limit_bytes=2 * 11 * DIM * 4)
    for _ in range(3):
        for index in range(4):
            cached.features(index)
    assert [memory.asked.count(index) for index in range(4)] == [1, 1, 3, 3]


def test_sampled_rows_are_rows_in_order() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    drawn = sample_rows(rows, 6, np.random.default_rng(0))
    assert drawn.shape == (6, 2)
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert sample_rows(rows, 20, np.random.default_rng(0)) is rows
