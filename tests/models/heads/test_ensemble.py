import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import BadHeadFile, DimensionMismatch, HeadError
from slicebank_models.heads.build import build_head
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec

TASKS = {
    TaskKind.BINARY: TaskSpec(TaskKind.BINARY, ("lesion",)),
    TaskKind.MULTILABEL: TaskSpec(TaskKind.MULTILABEL, ("lesion", "effusion")),
    TaskKind.MULTICLASS: TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III")),
    TaskKind.REGRESSION: TaskSpec(TaskKind.REGRESSION, ("age", "volume")),
    TaskKind.SURVIVAL: TaskSpec(TaskKind.SURVIVAL, ("days", "death")),
}


def new_state(kind: TaskKind, level: EncoderLevel = EncoderLevel.SLICE) -> dict[str, torch.Tensor]:
    return build_head(HeadSpec(), level, 6, TASKS[kind]).state_dict()


def ensemble(
    kind: TaskKind, level: EncoderLevel = EncoderLevel.SLICE, folds: int = 3, scale: float = 1.0
) -> HeadEnsemble:
    torch.manual_seed(0)
    task = TASKS[kind]
    states = []
    for _ in range(folds):
        state = new_state(kind, level)
        last = next(name for name in state if name.endswith("classifier.4.weight"))
        states.append({**state, last: scale * state[last]})
    return HeadEnsemble(task, dim=6, level=level, folds=states)


def bag(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("level", EncoderLevel)
def test_it_survives_its_bytes_and_answers_the_same(kind: TaskKind, level: EncoderLevel) -> None:
    head = ensemble(kind, level)
    features = bag(1 if level is EncoderLevel.SCAN else 7)
    data = head.to_bytes()
    again = HeadEnsemble.from_bytes(data)
    first, second = head.predict(features), again.predict(features)
    assert first.outputs == second.outputs == head.predict(features).outputs
    assert np.array_equal(first.attention, second.attention)
    assert (again.task, again.dim, again.level, again.n_folds) == (head.task, 6, level, 3)
    assert again.to_bytes() == data


@pytest.mark.parametrize("rows", [1, 2, 700])
def test_attention_sums_to_one(rows: int) -> None:
    prediction = ensemble(TaskKind.BINARY).predict(bag(rows))
    assert prediction.attention.dtype == np.float64
    assert prediction.attention.shape == prediction.attention_logits.shape == (rows,)
    assert math.fsum(prediction.attention) == pytest.approx(1.0, abs=1e-12)
    assert (prediction.attention > 0).all()


def test_it_is_the_mean_of_its_folds() -> None:
    torch.manual_seed(0)
    task = TASKS[TaskKind.MULTILABEL]
    states = [new_state(TaskKind.MULTILABEL) for _ in range(3)]
    singles = [HeadEnsemble(task, dim=6, level=EncoderLevel.SLICE, folds=[state]).predict(bag(5)) for state in states]
    together = HeadEnsemble(task, dim=6, level=EncoderLevel.SLICE, folds=states).predict(bag(5))
    for place, output in enumerate(together.outputs):
        probabilities = [single.outputs[place].probability for single in singles]
        assert output.probability == pytest.approx(np.mean(probabilities))
        assert output.fold_std == pytest.approx(np.std(probabilities))
        assert output.logit == pytest.approx(math.log(output.probability / (1 - output.probability)))
    np.testing.assert_allclose(together.attention, np.mean([single.attention for single in singles], axis=0))


def test_class_probabilities_sum_to_one_and_logits_are_their_logarithms() -> None:
    outputs = ensemble(TaskKind.MULTICLASS).predict(bag(4)).outputs
    assert [output.label for output in outputs] == ["I", "II", "III"]
    assert sum(output.probability for output in outputs) == pytest.approx(1.0)
    assert [output.logit for output in outputs] == pytest.approx([math.log(o.probability) for o in outputs])


def test_certain_folds_keep_finite_logits() -> None:
    output = ensemble(TaskKind.BINARY, folds=1, scale=1e4).predict(bag(4)).outputs[0]
    assert math.isfinite(output.logit)
    assert abs(output.logit) > 40


@pytest.mark.parametrize("rows", [np.zeros((0, 6), np.float32), np.zeros((3, 7), np.float32), np.zeros(6, np.float32)])
def test_rows_that_do_not_fit_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(DimensionMismatch, match="6"):
        ensemble(TaskKind.BINARY).predict(rows)


def test_scan_heads_take_one_row() -> None:
    head = ensemble(TaskKind.BINARY, EncoderLevel.SCAN)
    assert head.predict(bag(1)).attention.tolist() == [1.0]
    with pytest.raises(DimensionMismatch):
        head.predict(bag(2))


def test_no_fold_no_head() -> None:
    with pytest.raises(HeadError):
        HeadEnsemble(TASKS[TaskKind.BINARY], dim=6, level=EncoderLevel.SLICE, folds=[])


def _with_metadata(**changes: object) -> bytes:
    data = ensemble(TaskKind.BINARY).to_bytes()
    metadata = {"format": 1, "task": {"kind": "binary", "labels": ["x"]}, "dim": 6, "level": "slice", "folds": 3}
    return save(load(data), metadata={"slicebank_head": json.dumps({**metadata, **changes})})


def test_a_head_of_the_first_format_is_read() -> None:
    head = ensemble(TaskKind.BINARY)
    first = HeadEnsemble.from_bytes(_with_metadata(task=head.task.as_dict()))
    assert first.predict(bag(5)).outputs == head.predict(bag(5)).outputs
    assert (first.head, first.calibration, first.recipe_digest) == (HeadSpec(), None, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04K\x01.",
        b"\xff" * 64,
        save({"a": torch.zeros(1)}),
        _with_metadata(format=3),
        _with_metadata(format=[2]),
        _with_metadata(head={"architecture": "gated_abmil"}),
        _with_metadata(head={"architecture": "perceptron"}),
        _with_metadata(calibration={"method": "temperature"}),
        _with_metadata(calibration={"method": "temperature", "parameters": {"x": {"temperature": -1}}}),
        _with_metadata(calibration={"method": "guess", "parameters": {}}),
        _with_metadata(folds=2),
        _with_metadata(folds=4),
        _with_metadata(dim=7),
        _with_metadata(level="voxel"),
        _with_metadata(task={"kind": "regression"}),
        ensemble(TaskKind.BINARY).to_bytes()[:-8],
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadHeadFile):
        HeadEnsemble.from_bytes(data)


def test_random_state_of_the_process_is_left_alone() -> None:
    state = new_state(TaskKind.BINARY)
    before = torch.get_rng_state()
    HeadEnsemble(TASKS[TaskKind.BINARY], dim=6, level=EncoderLevel.SLICE, folds=[state]).predict(bag(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_calibration_and_recipe_are_kept_with_the_head() -> None:
    head = ensemble(TaskKind.BINARY, scale=20)
    calibration = {"method": "temperature", "parameters": {"lesion": {"temperature": 4.0}}}
    calibrated = head.with_calibration(calibration, recipe_digest="ab12")
    (raw,), (served,) = head.predict(bag(5)).outputs, calibrated.predict(bag(5)).outputs
    assert raw.probability == raw.raw_probability == served.raw_probability
    assert served.probability is not None
    assert raw.probability is not None
    assert abs(served.probability - 0.5) < abs(raw.probability - 0.5)
    assert served.calibrated
    again = HeadEnsemble.from_bytes(calibrated.to_bytes())
    assert again.predict(bag(5)).outputs == (served,)
    assert (again.calibration, again.recipe_digest) == (calibration, "ab12")
    assert calibrated.with_calibration(None).recipe_digest == "ab12"
    with pytest.raises(HeadError, match="calibration"):
        head.with_calibration({"method": "temperature", "parameters": {"other": {"temperature": 4.0}}})
