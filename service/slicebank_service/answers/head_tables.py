"""Tables of a trained head, from the report that its training wrote."""

from __future__ import annotations

import csv
import io
from typing import Any

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_store.types import JSON


def predictions_csv(task: TaskSpec, report: JSON) -> str:
    """Every case with the prediction of a model that did not learn from it.

    One row a case: series, patient (pseudonym), `fold` (the fold that held it out, or `test`), then per label the known
    answer (empty where unknown) and the probability; for a multiclass task the known class, the predicted class, and the
    probability of each.

    Args:
        task: with the names of the outputs.
        report: with `cases`, `out_of_fold` and `test_predictions`.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["series_uid", "patient", "fold", *_columns(task)])
    cases = report["cases"]
    for row in [*report["out_of_fold"], *report["test_predictions"]]:
        fold = "test" if row["fold"] is None else row["fold"]
        writer.writerow([cases[row["index"]]["series_uid"], row["patient"], fold, *_cells(task, row)])
    return target.getvalue()


def _columns(task: TaskSpec) -> list[str]:
    if task.kind is TaskKind.MULTICLASS:
        return ["class", "predicted", *(f"{label}_probability" for label in task.labels)]
    return [name for label in task.labels for name in (label, f"{label}_probability")]


def _cells(task: TaskSpec, row: JSON) -> list[Any]:
    target: list[int | None] = row["target"]
    probabilities: list[float] = row["probabilities"]
    if task.kind is not TaskKind.MULTICLASS:
        return [value for pair in zip(target, probabilities, strict=True) for value in pair]
    known = "" if target[0] is None else task.labels[target[0]]
    return [known, task.labels[probabilities.index(max(probabilities))], *probabilities]
