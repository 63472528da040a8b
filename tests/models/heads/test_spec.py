import json
import math

import pytest

from slicebank_models.errors import BadTask, BadTrainingValue, UnknownTrainingKey
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec


def test_the_defaults_are_the_papers_protocol() -> None:
    spec = TrainingSpec.parse(None)
    assert (spec.lr, spec.batch_size, spec.max_epochs, spec.patience) == (1e-4, 128, 32, 8)
    assert (spec.folds, spec.max_rows, spec.windows) == (5, 512, None)


def test_settings_survive_json() -> None:
    given = {"lr": 1, "folds": 3.0, "windows": ["lung"], "test_fraction": 0}
    spec = TrainingSpec.parse(given)
    assert (spec.lr, spec.folds, spec.windows) == (1.0, 3, ("lung",))
    assert isinstance(spec.folds, int)
    assert TrainingSpec.parse(json.loads(json.dumps(spec.as_dict()))) == spec


def test_unknown_keys_are_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownTrainingKey, match=r"learning_rate.*known are lr"):
        TrainingSpec.parse({"learning_rate": 1e-3})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("lr", value) for value in (0, -1e-3, 2, math.nan, math.inf, 10**400, "1e-3", None, True, [1e-3])),
        *(("folds", value) for value in (1, 21, 2.5, math.nan, "5", True)),
        *(("max_rows", value) for value in (0, 10**9)),
        *(("test_fraction", value) for value in (-0.1, 1.0)),
        *(("seed", value) for value in (-1, 2**31)),
        *(("windows", value) for value in ([], "lung", [1], [""], {"lung": 1})),
    ],
)
def test_unusable_values_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(BadTrainingValue, match=key):
        TrainingSpec.parse({key: value})


def test_tasks_survive_json() -> None:
    task = TaskSpec.parse({"kind": "multilabel", "labels": [" nodule ", "effusion"]})
    assert task == TaskSpec(TaskKind.MULTILABEL, ("nodule", "effusion"))
    assert TaskSpec.parse(json.loads(json.dumps(task.as_dict()))) == task
    assert TaskSpec.parse({"kind": "binary"}).labels == ()


def test_the_one_output_of_survival_is_the_risk_of_the_event() -> None:
    task = TaskSpec.parse({"kind": "survival", "labels": ["days", "death"]})
    assert (task.outputs, task.n_outputs) == (("death",), 1)
    assert TaskSpec.parse({"kind": "regression", "labels": ["age", "volume"]}).n_outputs == 2


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "ranking"},
        {"kind": []},
        {"kind": "survival", "labels": ["event"]},
        {"kind": "survival", "labels": ["time", "event", "age"]},
        {"kind": "binary", "labels": ["a", "b"]},
        {"kind": "multilabel", "labels": ["a", "a"]},
        {"kind": "multilabel", "labels": [""]},
        {"kind": "multilabel", "labels": "ab"},
        {"kind": "multilabel", "labels": [1]},
        {"kind": "binary", "labels": 5},
        {"kind": "binary", "labels": 0},
        {"kind": "binary", "labels": {"a": 1}},
        {"kind": "multilabel", "labels": [str(i) for i in range(1001)]},
        {"kind": "binary", "classes": []},
    ],
)
def test_unusable_tasks_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadTask):
        TaskSpec.parse(values)
