import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from slicebank_models.heads.calibration import calibrated_logits
from slicebank_models.heads.protocol import Calibration, ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.calibration import FittedCalibration, fit_calibration
from slicebank_models.training.cross_validation import Splits, plan_splits
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_logits, drawn_targets

BINARY = TASKS[TaskKind.BINARY]


def fitted(
    kind: TaskKind,
    method: Calibration,
    *,
    n: int = 400,
    skill: float = 3.0,
    shift: float = 0.0,
    seed: int = 0,
    positives: int | None = None,
    repeats: int = 1,
) -> tuple[FittedCalibration, np.ndarray, list[Case], Splits]:
    """A calibration of a head that is `skill` times too sure and `shift` too high on the log-odds."""
    generator = np.random.default_rng(seed)
    targets = drawn_targets(kind, generator, n)
    if positives is not None:
        targets = [(int(at < positives),) for at in range(n)]
    cases = [Case(at, f"p{at}", target) for at, target in enumerate(targets)]
    logits = drawn_logits(kind, targets, generator, skill) + shift
    splits = plan_splits(cases, TASKS[kind], TrainingSpec(test_fraction=0.0), ProtocolSpec(repeats=repeats))
    out_of_fold = [logits[list(fold.validation)] for fold in splits.folds]
    return fit_calibration(cases, TASKS[kind], method, splits, out_of_fold), logits, cases, splits


def truth_of(cases: list[Case]) -> np.ndarray:
    return np.array([case.target[0] for case in cases])


def test_temperature_is_that_of_the_least_loss() -> None:
    made, logits, cases, _ = fitted(TaskKind.BINARY, Calibration.TEMPERATURE)
    truth, odds = truth_of(cases), logits[:, 0]
    expected = minimize_scalar(
        lambda t: np.mean(np.logaddexp(0, odds / t) - truth * odds / t), bounds=(0.1, 10), method="bounded"
    ).x
    assert made.served is not None
    assert made.served["parameters"]["lesion"]["temperature"] == pytest.approx(expected, rel=1e-3)
    assert 2 < expected < 4.5


def test_the_temperature_of_classes_is_that_of_the_least_loss() -> None:
    made, logits, cases, _ = fitted(TaskKind.MULTICLASS, Calibration.TEMPERATURE)
    truth = truth_of(cases).astype(int)
    rows = np.arange(len(truth))
    expected = minimize_scalar(
        lambda t: np.mean(logsumexp(logits / t, axis=1) - (logits / t)[rows, truth]), bounds=(0.1, 10), method="bounded"
    ).x
    assert made.served is not None
    assert made.served["parameters"] == {"temperature": pytest.approx(expected, rel=1e-3)}


def test_platt_is_a_logistic_regression_towards_smoothed_answers() -> None:
    made, logits, cases, _ = fitted(TaskKind.BINARY, Calibration.PLATT, shift=2.0)
    truth, odds = truth_of(cases), logits[:, :1]
    positives = truth.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2)
    aim = np.where(truth == 1, high, low)
    # A case with the aim 0.99 is a positive of weight 0.99 and a negative of weight 0.01.
    both = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.concatenate([odds, odds]), np.repeat([1, 0], len(truth)), sample_weight=np.concatenate([aim, 1 - aim])
    )
    assert made.served is not None
    line = made.served["parameters"]["lesion"]
    assert line["slope"] == pytest.approx(both.coef_[0, 0], rel=1e-3)
    assert line["intercept"] == pytest.approx(both.intercept_[0], abs=1e-3)


def test_isotonic_is_that_of_scikit_learn() -> None:
    made, logits, cases, _ = fitted(TaskKind.BINARY, Calibration.ISOTONIC, n=600)
    assert made.served is not None
    probability = expit(logits[:, 0])
    expected = IsotonicRegression(out_of_bounds="clip").fit_transform(probability, truth_of(cases))
    found = expit(calibrated_logits(BINARY, made.served, logits)[:, 0])
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_head_that_is_always_right_is_made_surer_but_not_certain() -> None:
    """No finite temperature fits it best; with one case more of either answer, one does."""
    cases = [Case(at, f"p{at}", (at % 2,)) for at in range(60)]
    generator = np.random.default_rng(0)
    task = TASKS[TaskKind.BINARY]
    splits = plan_splits(cases, task, TrainingSpec(test_fraction=0.0), ProtocolSpec())
    odds = np.array([(1 if at % 2 else -1) * generator.uniform(1.0, 1.3) for at in range(60)])
    logits = [odds[list(fold.validation)][:, None] for fold in splits.folds]
    found = fit_calibration(cases, task, Calibration.TEMPERATURE, splits, logits)
    assert found.served is not None
    temperature = found.served["parameters"][task.outputs[0]]["temperature"]
    assert expit(1.15 / temperature) == pytest.approx(31 / 32, abs=0.005), "Platt's aim with 30 of either answer"
    assert found.record["after"]["brier"] < found.record["before"]["brier"] / 10
    assert any("on the right side" in warning for warning in found.warnings)
    assert not any("do not rise" in warning for warning in found.warnings)


@pytest.mark.parametrize("method", [Calibration.TEMPERATURE, Calibration.PLATT, Calibration.ISOTONIC])
@pytest.mark.parametrize("kind", [TaskKind.BINARY, TaskKind.MULTILABEL, TaskKind.MULTICLASS])
def test_calibration_helps_a_head_that_is_too_sure(kind: TaskKind, method: Calibration) -> None:
    made, _, _, _ = fitted(kind, method, n=600)
    record = made.record
    assert (record["method"], made.warnings) == (method.value, ())
    assert record["after"]["brier"] < record["before"]["brier"]
    assert record["after"]["ece"] < record["before"]["ece"]
    assert record["fitted_on"] == {"predictions": "out_of_fold", "n_units": 600, "n_patients": 600}


def test_what_is_shown_as_calibrated_was_fitted_on_other_patients() -> None:
    """Labels without any signal: whoever calibrates on the same cases sees them fit, whoever does not, does not."""
    generator = np.random.default_rng(5)
    cases = [Case(at, f"p{at}", (int(generator.random() < 0.5),)) for at in range(300)]
    logits = generator.normal(size=(300, 1))
    splits = plan_splits(cases, BINARY, TrainingSpec(test_fraction=0.0), ProtocolSpec())
    out_of_fold = [logits[list(fold.validation)] for fold in splits.folds]
    made = fit_calibration(cases, BINARY, Calibration.ISOTONIC, splits, out_of_fold)
    assert made.served is not None
    truth = truth_of(cases)
    same = np.mean((expit(calibrated_logits(BINARY, made.served, logits)[:, 0]) - truth) ** 2)
    assert same < 0.249
    assert made.record["after"]["brier"] > 0.25
    for number, fold in enumerate(splits.folds):
        others = [at for other in splits.folds if other is not fold for at in other.validation]
        alone = IsotonicRegression(out_of_bounds="clip").fit(expit(logits[others, 0]), truth[others])
        expected = alone.predict(expit(logits[list(fold.validation), 0]))
        assert made.out_of_fold[number][:, 0] == pytest.approx(expected, abs=1e-5)


def test_repeats_of_a_case_do_not_judge_themselves() -> None:
    once, _, _, _ = fitted(TaskKind.BINARY, Calibration.PLATT, repeats=1)
    thrice, _, _, splits = fitted(TaskKind.BINARY, Calibration.PLATT, repeats=3)
    assert thrice.served is not None
    assert once.served is not None
    # Each case three times with the same logit says what it says once.
    assert thrice.served["parameters"]["lesion"] == pytest.approx(once.served["parameters"]["lesion"], rel=1e-3)
    assert [len(rows) for rows in thrice.out_of_fold] == [len(fold.validation) for fold in splits.folds]
    assert thrice.out_of_fold[0] == pytest.approx(once.out_of_fold[0], abs=1e-6)


@pytest.mark.parametrize(
    ("method", "least"), [(Calibration.TEMPERATURE, 10), (Calibration.PLATT, 10), (Calibration.ISOTONIC, 100)]
)
def test_few_cases_are_not_calibrated(method: Calibration, least: int) -> None:
    enough, _, _, _ = fitted(TaskKind.BINARY, method, positives=least)
    assert enough.served is not None
    few, _, _, _ = fitted(TaskKind.BINARY, method, positives=least - 1)
    assert few.served is None
    assert few.record["method"] == "none"
    assert few.record["after"] is None
    assert few.warnings == (
        f"lesion: {least - 1} patients have its rarer answer, too few to fit a calibration ({method.value} needs {least}); "
        "its probabilities stay as they are.",
    )


def test_a_label_of_few_cases_stays_as_it_is_beside_one_of_many() -> None:
    generator = np.random.default_rng(0)
    task = TaskSpec(TaskKind.MULTILABEL, ("common", "rare"))
    cases = [Case(at, f"p{at}", (int(generator.random() < 0.5), int(at < 5))) for at in range(200)]
    logits = 6 * np.array([case.target for case in cases]) - 3 + 9 * generator.normal(size=(200, 2))
    splits = plan_splits(cases, task, TrainingSpec(test_fraction=0.0), ProtocolSpec())
    out_of_fold = [logits[list(fold.validation)] for fold in splits.folds]
    made = fit_calibration(cases, task, Calibration.PLATT, splits, out_of_fold)
    assert made.served is not None
    assert made.served["parameters"]["rare"] == {"slope": 1.0, "intercept": 0.0}
    assert made.served["parameters"]["common"]["slope"] < 0.6
    assert len(made.warnings) == 1


@pytest.mark.parametrize("method", [Calibration.TEMPERATURE, Calibration.PLATT, Calibration.ISOTONIC])
def test_a_head_that_is_wrong_is_not_turned_round(method: Calibration) -> None:
    made, _, _, _ = fitted(TaskKind.BINARY, method, skill=-1.0, n=500)
    assert made.served is None
    assert "do not rise with the rate of the answer" in made.warnings[0]


def test_numbers_are_not_calibrated() -> None:
    for kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        made, _, _, _ = fitted(kind, Calibration.TEMPERATURE)
        assert (made.served, made.record, made.warnings) == (None, {"method": "none"}, ())
