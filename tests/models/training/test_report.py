import json

import numpy as np
import pytest

from slicebank_models.heads.protocol import ProtocolSpec, Validation
from slicebank_models.heads.spec import TaskKind, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.metrics import metric_names, task_metrics
from slicebank_models.training.report import probabilities
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import Drawn, drawn_report


@pytest.fixture(scope="module", params=list(TaskKind))
def drawn(request: pytest.FixtureRequest) -> tuple[TaskKind, Drawn]:
    return request.param, drawn_report(request.param)


def test_a_report_says_everything_in_json(drawn: tuple[TaskKind, Drawn]) -> None:
    kind, made = drawn
    report = made.report
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["format"], report["n_cases"], report["n_units"], report["n_patients"]) == (2, 120, 120, 120)
    assert report["outputs"] == list(TASKS[kind].outputs)
    assert len(report["folds"]) == 5
    for fold in report["folds"]:
        assert set(metric_names(kind)) <= set(fold)
        assert (fold["repeat"], fold["best_epoch"], fold["curve"]["train_loss"]) == (0, 2, [0.7, 0.5, 0.3])
    first = metric_names(kind)[0]
    assert report["mean"][first] == pytest.approx(np.mean([fold[first] for fold in report["folds"]]))
    assert report["sd"][first] == pytest.approx(np.std([fold[first] for fold in report["folds"]], ddof=1))
    for part in ("pooled", "test"):
        metrics = report[part]
        assert set(metrics["intervals"]) == set(metric_names(kind))
        for label in TASKS[kind].outputs:
            low, high = metrics["labels"][label]["intervals"][first]
            assert low <= metrics["labels"][label][first] <= high
    assert (report["pooled"]["n_units"], report["test"]["n_units"]) == (96, 24)


def test_pooled_figures_are_those_of_the_rows_that_it_lists(drawn: tuple[TaskKind, Drawn]) -> None:
    kind, made = drawn
    rows = made.report["out_of_fold"]
    places = [row["index"] for row in rows]
    assert sorted(places + [row["index"] for row in made.report["test_predictions"]]) == list(range(120))
    expected = task_metrics(
        TASKS[kind], [made.cases[at].target for at in places], probabilities(TASKS[kind], made.logits[places])
    )
    found = made.report["pooled"]
    for name in metric_names(kind):
        assert found[name] == pytest.approx(expected[name])
    classified = kind not in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    for row in [*rows, *made.report["test_predictions"]]:
        assert ("probabilities" in row) == classified
        assert row.get("probabilities", row["outputs"]) == row["outputs"]
        assert row["target"] == list(made.cases[row["index"]].target)


def test_test_figures_are_of_what_is_served() -> None:
    made = drawn_report(TaskKind.BINARY, n=300, skill=4.0)
    rows = made.report["test_predictions"]
    served = np.array([row["probabilities"][0] for row in rows])
    raw = np.array([row["raw_probabilities"][0] for row in rows])
    assert np.abs(served - 0.5).mean() < np.abs(raw - 0.5).mean()
    truth = np.array([row["target"][0] for row in rows])
    assert made.report["test"]["brier"] == pytest.approx(np.mean((served - truth) ** 2))
    assert made.report["test"]["brier"] < np.mean((raw - truth) ** 2)


def test_several_cases_of_a_unit_are_measured_once_and_resampled_by_patient() -> None:
    generator = np.random.default_rng(0)
    answer = {patient: int(generator.random() < 0.5) for patient in range(60)}
    cases = [Case(at, f"p{at % 60}", (answer[at % 60],), unit=f"p{at % 60}") for at in range(150)]
    made = drawn_report(TaskKind.BINARY, cases=cases)
    report = made.report
    assert (report["n_cases"], report["n_units"]) == (150, 60)
    assert report["pooled"]["n_units"] + report["test"]["n_units"] == 60
    assert report["pooled"]["labels"]["lesion"]["n"] == report["pooled"]["n_units"]
    rows = report["out_of_fold"]
    assert len(rows) > report["pooled"]["n_units"]
    means = {row["unit"]: [] for row in rows}
    for row in rows:
        means[row["unit"]].append(row["probabilities"][0])
    gaps = [(np.mean(found) - answer[int(unit[1:])]) ** 2 for unit, found in means.items()]
    assert report["pooled"]["brier"] == pytest.approx(np.mean(gaps))


def test_repeats_are_told_apart_and_averaged_before_they_are_measured() -> None:
    protocol = ProtocolSpec(repeats=3, bootstrap=0)
    report = drawn_report(TaskKind.BINARY, protocol=protocol, training=TrainingSpec(folds=3)).report
    assert [(fold["fold"], fold["repeat"]) for fold in report["folds"]] == [(at, at // 3) for at in range(9)]
    assert len(report["out_of_fold"]) == 3 * 96
    assert report["pooled"]["n_units"] == 96
    assert "intervals" not in report["pooled"]
    assert {row["repeat"] for row in report["out_of_fold"]} == {0, 1, 2}


def test_what_is_weak_is_said() -> None:
    report = drawn_report(TaskKind.BINARY, n=40).report
    assert any("choose the epoch that they are then measured on" in warning for warning in report["warnings"])
    nested = ProtocolSpec(validation=Validation.NESTED, bootstrap=0)
    report = drawn_report(TaskKind.BINARY, n=40, protocol=nested).report
    assert not any("choose the epoch" in warning for warning in report["warnings"])
    assert {fold["n_stopping"] for fold in report["folds"]} == {5}
    cases = [Case(at, f"p{at}", (int(at < 3),)) for at in range(60)]
    report = drawn_report(TaskKind.BINARY, cases=cases).report
    assert any("AUROC is not defined for every label" in warning for warning in report["warnings"])


def test_the_same_arguments_give_the_same_report() -> None:
    assert drawn_report(TaskKind.BINARY).report == drawn_report(TaskKind.BINARY).report
