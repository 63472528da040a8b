import json
from typing import Any

import numpy as np
import pytest
import torch

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import DimensionMismatch, OneClassOnly, TrainingCancelled, TrainingDiverged
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
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


def told(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs from run to run."""
    return {key: value for key, value in report.items() if key != "seconds"}


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
    assert told(again.report) == told(trained.report)
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
        assert loss == pytest.approx(fold["validation_loss"], rel=0.02, abs=1e-4)  # bfloat16 decides when to stop


@pytest.mark.parametrize("after", [0, 3])
def test_it_stops_when_asked(after: int) -> None:
    seen = []

    def stop(done: int, total: int) -> bool:
        seen.append((done, total))
        return done >= after

    endless = TrainingSpec.parse({**QUICK.as_dict(), "max_epochs": 10_000, "patience": 10_000})
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(30)]
    memory = Memory([at % 2 for at in range(30)])
    with pytest.raises(TrainingCancelled):
        train_head(memory, cases, BINARY, endless, dim=DIM, level=EncoderLevel.SLICE, progress=stop)
    assert seen[0][0] == 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {60_000}


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


class Renamed:
    """The same bags under other indices, as another installation stores them."""

    def __init__(self, memory: Memory, order: list[int]) -> None:
        self._memory = memory
        self._order = order

    def features(self, index: int) -> np.ndarray:
        return self._memory.features(self._order[index])


def test_neither_arrival_nor_pseudonyms_change_the_weights() -> None:
    targets = [int(at % 3 == 0) for at in range(36)]
    cases = [Case(at, f"p{at // 2}", (target,)) for at, target in enumerate(targets)]
    memory = Memory(targets)
    kept = train_head(memory, cases, BINARY, QUICK, dim=DIM, level=EncoderLevel.SLICE, progress=never)
    order = [int(at) for at in np.random.default_rng(1).permutation(36)]
    moved = [Case(at, f"x{(order[at] // 2 * 7) % 18}", (targets[order[at]],)) for at in range(36)]
    other = train_head(
        Renamed(memory, order), moved[::-1], BINARY, QUICK, dim=DIM, level=EncoderLevel.SLICE, progress=never
    )
    assert other.ensemble.to_bytes() == kept.ensemble.to_bytes()
    assert other.report["folds"] == kept.report["folds"]


def test_named_bags_give_the_same_folds_whatever_encoder_made_their_rows() -> None:
    targets = [at % 2 for at in range(24)]

    class Named(Memory):
        def name(self, index: int) -> str:
            return f"content {(index * 7) % 24}"

    first, second = Named(targets), Named(targets)
    for bag in second.bags:
        bag *= -1
    one, other = train(targets, memory=first), train(targets, memory=second)
    assert one.report["splits"] == other.report["splits"]
    assert one.ensemble.to_bytes() != other.ensemble.to_bytes()


def test_the_record_is_enough_to_train_the_same_head_again(trained: TrainedHead) -> None:
    record = json.loads(json.dumps(trained.report))
    told_cases = record["out_of_fold"] + record["test_predictions"]
    cases = [Case(row["index"], row["patient"], tuple(row["target"]), row["unit"]) for row in told_cases]
    again = train_head(
        Memory([at % 2 for at in range(60)]),
        cases,
        TaskSpec.parse(record["task"]),
        TrainingSpec.parse(record["training"]),
        head=HeadSpec.parse(record["head"]),
        protocol=ProtocolSpec.parse(record["protocol"]),
        dim=record["dim"],
        level=EncoderLevel(record["level"]),
        progress=never,
    )
    assert again.ensemble.to_bytes() == trained.ensemble.to_bytes()
    assert again.report["bag_digests"] == record["bag_digests"]
    assert again.report["data_digest"] == record["data_digest"]
    assert record["device"] == "cpu"
    assert torch.__version__.startswith(record["versions"]["torch"])


def test_any_number_of_threads_gives_the_same_bits_where_each_fold_has_one() -> None:
    targets = [at % 2 for at in range(24)]
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(train(targets).ensemble.to_bytes())
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "architecture", [name for name in Architecture if name not in (Architecture.LINEAR, Architecture.MLP)]
)
def test_every_head_trained_side_by_side_gives_the_same_bits(architecture: Architecture) -> None:
    targets = [at % 2 for at in range(24)]
    training = TrainingSpec.parse({**QUICK.as_dict(), "max_epochs": 2})
    cases = [Case(at, f"p{at}", (target,)) for at, target in enumerate(targets)]
    one, other = (
        train_head(
            Memory(targets),
            cases,
            BINARY,
            training,
            head=HeadSpec(architecture, width=16),
            dim=DIM,
            level=EncoderLevel.SLICE,
            progress=never,
        )
        for _ in range(2)
    )
    assert one.ensemble.to_bytes() == other.ensemble.to_bytes()
    assert one.ensemble.head.architecture is architecture


def test_a_fold_that_no_event_can_stop_takes_its_lowest_training_loss() -> None:
    """The partial likelihood of cases without an event is 0 from the first epoch on, and nothing is lower."""
    task = TaskSpec(TaskKind.SURVIVAL, ("months", "dead"))
    generator = np.random.default_rng(0)
    cases = [
        Case(at, f"p{at}", (float(generator.uniform(1, 60)) if at > 1 else 0.5 + at, float(at < 2))) for at in range(40)
    ]
    training = TrainingSpec(lr=3e-3, batch_size=40, max_epochs=6, patience=3, folds=4, test_fraction=0.0)
    trained = train_head(
        Memory([at % 2 for at in range(40)]),
        cases,
        task,
        training,
        dim=DIM,
        level=EncoderLevel.SLICE,
        progress=never,
    )
    folds = trained.report["folds"]
    unjudged = [fold for fold in folds if fold["validation_loss"] is None]
    assert len(unjudged) == 2, "two events in four folds"
    for fold in unjudged:
        assert fold["curve"]["validation_loss"] == []
        assert fold["best_epoch"] == 1 + int(np.argmin(fold["curve"]["train_loss"]))
        assert fold["best_epoch"] > 1
        assert any(
            said.startswith(f"Fold {fold['fold']}: no answer in the part") for said in trained.report["warnings"]
        )
    for fold in folds:
        if fold not in unjudged:
            assert len(fold["curve"]["validation_loss"]) == fold["epochs"]
    json.dumps(trained.report, allow_nan=False)
