import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.errors import HeadError
from slicebank_models.heads.answers import answers
from slicebank_models.heads.calibration import calibrated_logits, log_probabilities
from slicebank_models.heads.spec import TaskKind, TaskSpec

BINARY = TaskSpec(TaskKind.BINARY, ("lesion",))
MULTILABEL = TaskSpec(TaskKind.MULTILABEL, ("lesion", "effusion"))
MULTICLASS = TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III"))
REGRESSION = TaskSpec(TaskKind.REGRESSION, ("age",))
SURVIVAL = TaskSpec(TaskKind.SURVIVAL, ("days", "death"))
LOGITS = np.array([[0.5, -2.0], [1.5, 0.25]])  # (folds, outputs)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@settings(deadline=None)
@given(st.lists(st.floats(-700, 700), min_size=3, max_size=3))
def test_logarithms_of_probabilities_and_of_their_opposites(logits: list[float]) -> None:
    for task in (MULTILABEL, MULTICLASS):
        log_p, log_q = log_probabilities(task, np.array(logits))
        np.testing.assert_allclose(np.exp(log_p) + np.exp(log_q), 1, atol=1e-12)
        assert np.isfinite(log_p).all()
        assert np.isfinite(log_q).all()
    assert np.exp(log_probabilities(MULTICLASS, np.array(logits))[0]).sum() == pytest.approx(1)


def test_without_a_calibration_raw_is_what_is_served() -> None:
    for calibration in (None, {"method": "none", "parameters": {}}):
        for at, output in enumerate(answers(MULTILABEL, LOGITS, calibration)):
            folds = [sigmoid(x) for x in LOGITS[:, at]]
            assert output.probability == output.raw_probability == pytest.approx(np.mean(folds))
            assert output.fold_std == pytest.approx(np.std(folds))
            assert output.logit == pytest.approx(math.log(output.probability / (1 - output.probability)))
            assert not output.calibrated
            assert output.value is None


@pytest.mark.parametrize(
    ("method", "parameters", "calibrated"),
    [
        ("temperature", {"temperature": 2.0}, lambda x: sigmoid(x / 2)),
        ("platt", {"slope": 0.5, "intercept": -1.0}, lambda x: sigmoid(0.5 * x - 1)),
        (
            "isotonic",
            {"probability": [0.1, 0.5, 0.9], "rate": [0.2, 0.3, 0.7]},
            lambda x: np.interp(sigmoid(x), [0.1, 0.5, 0.9], [0.2, 0.3, 0.7]),
        ),
    ],
)
def test_each_fold_is_calibrated_then_averaged(method: str, parameters: dict[str, object], calibrated: object) -> None:
    unchanged = {
        "temperature": {"temperature": 1},
        "platt": {"slope": 1, "intercept": 0},
        "isotonic": {"probability": [0, 1], "rate": [0, 1]},
    }[method]
    calibration = {"method": method, "parameters": {"lesion": parameters, "effusion": unchanged}}
    lesion, effusion = answers(MULTILABEL, LOGITS, calibration)
    expected = [calibrated(x) for x in LOGITS[:, 0]]  # type: ignore[operator]
    assert lesion.probability == pytest.approx(np.mean(expected))
    assert lesion.fold_std == pytest.approx(np.std(expected))
    assert lesion.raw_probability == pytest.approx(np.mean([sigmoid(x) for x in LOGITS[:, 0]]))
    assert lesion.calibrated
    assert effusion.calibrated
    assert effusion.probability == pytest.approx(effusion.raw_probability)


def test_rates_of_0_and_1_stay_finite() -> None:
    parameters = {"lesion": {"probability": [0.4, 0.6], "rate": [0.0, 1.0]}}
    output = answers(BINARY, np.array([[9.0], [30.0]]), {"method": "isotonic", "parameters": parameters})[0]
    assert output.probability == pytest.approx(1, abs=2e-6)
    assert output.logit is not None
    assert math.isfinite(output.logit)


def test_classes_share_a_temperature_and_otherwise_are_normed() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    shared = answers(MULTICLASS, logits, {"method": "temperature", "parameters": {"temperature": 4.0}})
    powers = np.exp(logits / 4)
    np.testing.assert_allclose(
        [output.probability for output in shared], (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
    )
    alone = {label: {"slope": 2.0, "intercept": 0.1} for label in MULTICLASS.labels}
    powers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rates = 1 / (1 + np.exp(-(2 * np.log(powers / (1 - powers)) + 0.1)))
    np.testing.assert_allclose(
        [output.probability for output in answers(MULTICLASS, logits, {"method": "platt", "parameters": alone})],
        (rates / rates.sum(axis=1, keepdims=True)).mean(axis=0),
    )


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"method": "guess"},
        {"method": "platt"},
        {"method": "platt", "parameters": {"effusion": {"slope": 1, "intercept": 0}}},
        {"method": "platt", "parameters": {"lesion": {"slope": 1}}},
        {"method": "temperature", "parameters": {"lesion": {"temperature": 0}}},
        {"method": "temperature", "parameters": {"lesion": {"temperature": math.nan}}},
        {"method": "isotonic", "parameters": {"lesion": {"probability": [0, 1], "rate": [1]}}},
        {"method": "temperature", "parameters": [1]},
    ],
)
def test_calibrations_that_do_not_fit_are_refused(calibration: dict[str, object]) -> None:
    with pytest.raises(HeadError, match="calibration"):
        calibrated_logits(BINARY, calibration, np.zeros((1, 1)))


def test_numbers_are_values_and_no_probabilities() -> None:
    (age,) = answers(REGRESSION, np.array([[60.0], [64.0]]))
    (risk,) = answers(SURVIVAL, np.array([[-0.5], [1.5]]))
    assert (age.label, age.value, age.fold_std) == ("age", 62, 2)
    assert (risk.label, risk.value, risk.fold_std) == ("death", 0.5, 1)
    for output in (age, risk):
        assert (output.probability, output.logit, output.raw_probability, output.calibrated) == (
            None,
            None,
            None,
            False,
        )
