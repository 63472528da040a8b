import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Case
from slicebank_service.answers.head_tables import predictions_csv
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_report

OURS = ["fold", "repeat", "unit", "series_uid"]


def table(task: TaskSpec, report: dict[str, Any]) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(predictions_csv(task, report)), dtype={"PATIENT": str, "lesion": "Int64"})


def reported(kind: TaskKind, cases: list[Case] | None = None) -> dict[str, Any]:
    report = drawn_report(kind, cases=cases, protocol=ProtocolSpec(bootstrap=0)).report
    return {**report, "cases": [{"series_uid": f"1.2.{index}"} for index in range(report["n_cases"])]}


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        (TaskKind.BINARY, ["lesion", "pred", "lesion_0", "lesion_1", "loss"]),
        (TaskKind.MULTICLASS, ["class", "pred", "class_I", "class_II", "class_III", "loss"]),
        (TaskKind.SURVIVAL, ["pred_score", "time", "death"]),
        (TaskKind.REGRESSION, ["volume", "pred_volume", "age", "pred_age", "loss"]),
        (TaskKind.MULTILABEL, [f"{form}" for x in "abc" for form in (x, f"pred_{x}", f"{x}_0", f"{x}_1")] + ["loss"]),
    ],
)
def test_columns_are_those_of_stamp_and_then_ours(kind: TaskKind, columns: list[str]) -> None:
    report = reported(kind)
    found = table(TASKS[kind], report)
    assert list(found.columns) == ["PATIENT", *columns, *OURS]
    assert len(found) == 120
    assert found["PATIENT"].is_unique
    assert (found["fold"] == "test").sum() == 24


def test_figures_of_the_table_are_those_of_the_report() -> None:
    report = reported(TaskKind.BINARY)
    found = table(TASKS[TaskKind.BINARY], report)
    pooled = found[found["fold"] != "test"]
    area = roc_auc_score((pooled["lesion"] == 1).astype(int), pooled["lesion_1"])
    assert area == pytest.approx(report["pooled"]["auroc"])
    truth = pooled["lesion"].astype(int)
    assert np.mean(pooled["pred"] == truth) == pytest.approx(report["pooled"]["accuracy"])
    held = np.where(truth == 1, pooled["lesion_1"], pooled["lesion_0"])
    assert pooled["loss"].to_numpy() == pytest.approx(-np.log(held))
    classes = reported(TaskKind.MULTICLASS)
    found = table(TASKS[TaskKind.MULTICLASS], classes)
    pooled = found[found["fold"] != "test"]
    assert (pooled["pred"] == pooled["class"]).mean() == pytest.approx(classes["pooled"]["accuracy"])
    assert found[["class_I", "class_II", "class_III"]].sum(axis=1).to_numpy() == pytest.approx(np.ones(120))
    numbers = reported(TaskKind.REGRESSION)
    found = table(TASKS[TaskKind.REGRESSION], numbers)
    pooled = found[found["fold"] != "test"].dropna(subset=["volume"])
    errors = (pooled["volume"] - pooled["pred_volume"]).abs()
    assert errors.mean() == pytest.approx(numbers["pooled"]["labels"]["volume"]["mae"])


def test_cases_of_a_unit_are_one_row() -> None:
    cases = [Case(at, f"p{at % 40}", (at % 2,), unit=f"study{at % 40}") for at in range(80)]
    report = reported(TaskKind.BINARY, cases)
    found = table(TASKS[TaskKind.BINARY], report)
    assert len(found) == 40
    first = found[found["PATIENT"] == "p3"].iloc[0]
    assert (first["unit"], first["series_uid"]) == ("study3", "1.2.3;1.2.43")
    rows = [r for r in report["out_of_fold"] + report["test_predictions"] if r["patient"] == "p3"]
    assert first["lesion_1"] == pytest.approx(np.mean([row["probabilities"][0] for row in rows]))


def test_unknown_answers_are_empty_and_certain_errors_have_a_finite_loss() -> None:
    task = TaskSpec(TaskKind.MULTILABEL, ("a", "b"))
    rows = [
        {"index": 0, "patient": "p", "fold": 0, "target": [None, 1], "probabilities": [0.2, 0.0]},
        {"index": 1, "patient": "q", "fold": None, "target": [None, None], "probabilities": [0.2, 0.9]},
    ]
    report = {
        "cases": [{"series_uid": "1"}, {"series_uid": "2"}],
        "out_of_fold": rows[:1],
        "test_predictions": rows[1:],
    }
    lines = predictions_csv(task, report).splitlines()
    assert lines[1] == f"p,,0,0.8,0.2,1,0,1.0,0.0,{-math.log(1e-12)},0,,1,1"
    assert lines[2].startswith("q,,0,0.8,0.2,,1,")
    assert lines[2].endswith(",,test,,2,2")
