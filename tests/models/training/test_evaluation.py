import json

import numpy as np
import pytest

from slicebank_models.errors import NoCases, TrainingCancelled
from slicebank_models.heads.answers import HeadPrediction, answers
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.evaluation import evaluate
from slicebank_models.training.leakage import leakage
from slicebank_models.training.metrics import task_metrics
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_targets

CALIBRATION = {"method": "temperature", "parameters": {"lesion": {"temperature": 2.0}}}


class FirstColumns:
    """A head of two folds whose logits are the mean of a bag's columns, one an output."""

    def __init__(self, task: TaskSpec) -> None:
        self.task = task

    def predict(self, features: np.ndarray) -> HeadPrediction:
        means = features.mean(axis=0).astype(np.float64)
        calibration = CALIBRATION if self.task.kind is TaskKind.BINARY else None
        nothing = np.zeros(len(features))
        return HeadPrediction(answers(self.task, np.stack([means, means + 0.5]), calibration), nothing, nothing)


class Stored:
    def __init__(self, n: int, outputs: int) -> None:
        self.rows = np.random.default_rng(0).normal(size=(n, 4, outputs)).astype(np.float32)

    def features(self, index: int) -> np.ndarray:
        return self.rows[index]


@pytest.mark.parametrize("kind", list(TaskKind))
def test_an_evaluation_measures_what_is_served(kind: TaskKind) -> None:
    task = TASKS[kind]
    targets = drawn_targets(kind, np.random.default_rng(1), 60)
    cases = [Case(at, f"p{at}", target) for at, target in enumerate(targets)]
    found = evaluate(FirstColumns(task), Stored(60, task.n_outputs), cases, resamples=100)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["n_cases"], found["n_units"], found["n_patients"], found["warnings"]) == (60, 60, 60, [])
    rows = found["predictions"]
    outputs = np.array([row["outputs"] for row in rows])
    expected = task_metrics(task, targets, outputs)
    for name, value in expected.items():
        if name != "labels":
            assert found["metrics"][name] == pytest.approx(value)
            assert name in found["metrics"]["intervals"]
    assert [row["fold"] for row in rows] == [None] * 60
    if kind is TaskKind.BINARY:
        assert all(abs(row["outputs"][0] - 0.5) < abs(row["raw_probabilities"][0] - 0.5) for row in rows)
    assert set(found["curves"]) == (set() if kind is TaskKind.REGRESSION else set(found["curves"]))


def test_training_patients_are_found_out() -> None:
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(20)] + [Case(0, "p20", (None,))]
    bags = Stored(20, 1)
    found = evaluate(FirstColumns(TASKS[TaskKind.BINARY]), bags, cases, trained_patients=["p3", "p4", "x"], resamples=0)
    assert found["leakage"] == {"patients": ["p3", "p4"]}
    assert found["warnings"][0].startswith("The head was trained or chosen on 2 patients of these")
    assert found["warnings"][1] == "1 cases without a known label are left out."
    assert "intervals" not in found["metrics"]


def test_series_of_a_patient_are_averaged() -> None:
    cases = [Case(at, f"p{at // 2}", (at // 2 % 2,), unit=f"p{at // 2}") for at in range(20)]
    found = evaluate(FirstColumns(TASKS[TaskKind.BINARY]), Stored(20, 1), cases, resamples=50)
    assert (found["n_cases"], found["n_units"], found["metrics"]["labels"]["lesion"]["n"]) == (20, 10, 10)


def test_nothing_to_measure_and_cancelling() -> None:
    task = TASKS[TaskKind.BINARY]
    with pytest.raises(NoCases):
        evaluate(FirstColumns(task), Stored(1, 1), [Case(0, "p", (None,))])
    asked: list[int] = []

    def stop(done: int, total: int) -> bool:
        asked.append(done)
        return done == 2

    with pytest.raises(TrainingCancelled):
        evaluate(FirstColumns(task), Stored(9, 1), [Case(at, f"p{at}", (1,)) for at in range(9)], progress=stop)
    assert asked == [0, 1, 2]


def test_leakage_names_both_sides() -> None:
    found = leakage(
        trained_patients=["b", "a"], trained_series=["1.2"], patients=["a", "b", "c"], series=["1.2", "1.3"]
    )
    assert (found.patients, found.series) == (("a", "b"), ("1.2",))
    assert "2 patients and 1 series" in found.sentence
    none = leakage(trained_patients=["a"], patients=["b"])
    assert not none
    assert none.sentence == ""
