"""Figures over folds, and the paper's last column."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slicebank.benchmark.results import AVERAGE, LOWER_IS_BETTER, SPOKEN, Score, TaskResult, fold_scores, splits_phrase
from slicebank.benchmark.task_file import read_task, task_text
from slicebank_models.training.metrics import SMALLER_IS_BETTER
from tests.client.benchmark.fixed import SITES, STAGE

# The column Average of the paper's Tables 2 and 3: mean and subscript, row by row.
PRINTED = {
    "deeplesion_sites": "52.8 2.0 58.7 1.2 74.7 3.5 77.6 2.2 77.7 1.7 77.9 2.0 78.4 2.1 77.7 2.4 77.7 1.9 78.2 2.2 76.0 1.8 76.2 1.4 76.6 1.6",
    "radchest_findings": "51.1 0.6 56.4 2.2 59.8 1.3 65.0 2.3 66.2 1.9 66.6 1.3 66.9 1.6 65.4 1.5 65.7 2.1 65.9 1.1 60.0 1.7 64.8 2.1 65.1 1.9",
}


@pytest.mark.parametrize("name", PRINTED)
def test_averages_are_the_papers(name: str) -> None:
    """Printed cells have one digit, so that a subscript made of them is off by some hundredths."""
    printed = np.array(PRINTED[name].split(), float).reshape(-1, 2)
    rows = read_task(task_text(name)).published
    assert len(rows) == len(printed) == 13
    for row, (mean, sd) in zip(rows, printed, strict=True):
        average = Score.average([Score(*cell) for cell in zip(row.mean, row.sd, strict=True)])
        assert average.mean == pytest.approx(mean, abs=0.051 + 1e-9), row.model
        assert average.sd == pytest.approx(sd, abs=0.1), row.model
        # The other reading of the subscript, the mean of the deviations, does not fit all of them.
    plain = [np.mean(row.sd) for row in rows]
    assert np.abs(plain - printed[:, 1]).max() > 0.3


def test_scores_over_folds() -> None:
    values = [0.8, None, 0.6, 0.7]
    score = Score.over(values)
    assert score.mean == pytest.approx(0.7)
    assert score.sd == pytest.approx(np.std([0.8, 0.6, 0.7], ddof=1))
    assert Score.over([0.5]) == Score(0.5, None)
    assert Score.over([None]) == Score(None)
    assert Score.average([Score(0.5, 0.1), Score(None)]) == Score(None)
    assert Score.average([Score(0.5, 0.1), Score(0.7)]) == Score(0.6, None)


def test_results_come_back_from_json() -> None:
    for result in (SITES, STAGE):
        again = TaskResult.from_dict(json.loads(json.dumps(result.as_dict())))
        assert again.encoders[0].score(AVERAGE, "auroc") == result.encoders[0].score(AVERAGE, "auroc")
        assert json.dumps(again.as_dict()) == json.dumps(result.as_dict())


def test_test_patients_count_before_validation_parts() -> None:
    labels = {"a": {"auroc": 0.6, "positives": 3}}
    folds = [{"fold": 0, "labels": labels}, {"fold": 1, "labels": {"a": {"auroc": None}}}]
    scores, judged = fold_scores({"folds": folds})
    assert (scores["a"]["auroc"], judged) == ([0.6, None], "validation")
    tested = [{**fold, "test": {"labels": {"a": {"auroc": 0.9}}}} for fold in folds]
    scores, judged = fold_scores({"folds": tested})
    assert (scores["a"]["auroc"], judged) == ([0.9, 0.9], "test")
    # Half of the folds is not a table.
    assert fold_scores({"folds": [tested[0], folds[1]]})[1] == "validation"
    assert fold_scores({}) == ({}, "validation")


def test_splits_in_words() -> None:
    folds = [{"n_train": 8, "n_validation": 4}, {"n_train": 9, "n_validation": 4}]
    said = "2 folds by patient, trained on 8 to 9 cases and validated on 4"
    assert splits_phrase({"folds": folds, "test": None}) == said
    assert splits_phrase({"folds": folds, "test": {"n_patients": 3}}) == f"{said}; 3 test patients"
    assert splits_phrase({"folds": [{}]}) == splits_phrase({}) == ""


def test_what_is_better_is_what_the_server_says() -> None:
    assert LOWER_IS_BETTER == SMALLER_IS_BETTER
    assert set(SPOKEN) > LOWER_IS_BETTER
