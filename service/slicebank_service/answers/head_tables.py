"""Tables of a trained head in the columns of STAMP's `patient-preds.csv`, from the report that its training wrote."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_store.types import JSON

# What STAMP calls the label of a multiclass task, whose own labels are the classes.
CLASS = "class"
THRESHOLD = 0.5
# A probability of 0 for what was true would be an infinite loss, which no table can hold.
LEAST_PROBABILITY = 1e-12


@dataclass(slots=True)
class _Row:
    """One series, study or patient as one fold, or the test, measured it."""

    patient: str
    unit: str
    fold: str
    repeat: str
    target: list[float | None]
    outputs: list[list[float]] = field(default_factory=list)
    series: list[str] = field(default_factory=list)

    @property
    def means(self) -> list[float]:
        """Its outputs averaged over its cases."""
        return [math.fsum(column) / len(column) for column in zip(*self.outputs, strict=True)]


def predictions_csv(task: TaskSpec, report: JSON) -> str:
    """Every series, study or patient that was measured, with the prediction of a model that did not learn from it.

    The columns are those of STAMP 2: `PATIENT` (pseudonym); for one label `LABEL`, `pred`, `LABEL_CLASS` per class; for several labels
    `LABEL`, `pred_LABEL`, `LABEL_CLASS` each; for numbers without the classes; for survival `pred_score`, then time and event by their
    names. Then `loss` (not for survival): cross-entropy, or absolute error, summed over known labels. Ours follow: `fold` (the fold that
    held it out, or `test`), `repeat`, `unit` (what the label named) and `series_uid` (several are divided by a semicolon). The classes of a
    label are 1 and 0; unknown answers are empty.

    Args:
        task: with the names of the outputs.
        report: with `cases`, `out_of_fold` and `test_predictions`.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["PATIENT", *_columns(task), "fold", "repeat", "unit", "series_uid"])
    for row in _rows(report):
        series = ";".join(dict.fromkeys(row.series))
        writer.writerow([row.patient, *_cells(task, row), row.fold, row.repeat, row.unit, series])
    return target.getvalue()


def _rows(report: JSON) -> Iterator[_Row]:
    cases = report["cases"]
    found: dict[tuple[str, ...], _Row] = {}
    for given in [*report["out_of_fold"], *report["test_predictions"]]:
        series = cases[given["index"]]["series_uid"]
        fold = "test" if given["fold"] is None else str(given["fold"])
        unit = given.get("unit") or series
        key = (given["patient"], unit, fold)
        repeat = "" if given.get("repeat") is None else str(given["repeat"])
        row = found.setdefault(key, _Row(given["patient"], unit, fold, repeat, given["target"]))
        row.outputs.append(given["outputs"] if "outputs" in given else given["probabilities"])
        row.series.append(series)
    yield from found.values()


def _columns(task: TaskSpec) -> list[str]:
    if task.kind is TaskKind.SURVIVAL:
        return ["pred_score", *task.labels]
    if task.kind is TaskKind.MULTICLASS:
        return [CLASS, "pred", *(f"{CLASS}_{name}" for name in task.labels), "loss"]
    alone = len(task.labels) == 1
    columns = []
    for label in task.labels:
        columns += [label, "pred" if alone else f"pred_{label}"]
        columns += [] if task.kind is TaskKind.REGRESSION else [f"{label}_0", f"{label}_1"]
    return [*columns, "loss"]


def _cells(task: TaskSpec, row: _Row) -> list[Any]:
    target, means = row.target, row.means
    if task.kind is TaskKind.SURVIVAL:
        return [means[0], *target]
    if task.kind is TaskKind.MULTICLASS:
        known = None if target[0] is None else int(target[0])
        said = task.labels[means.index(max(means))]
        answer = "" if known is None else task.labels[known]
        return [answer, said, *means, _loss([None if known is None else means[known]])]
    cells: list[Any] = []
    if task.kind is TaskKind.REGRESSION:
        gaps = [None if known is None else abs(value - known) for known, value in zip(target, means, strict=True)]
        for pair in zip(target, means, strict=True):
            cells += pair
        return [*cells, _sum(gaps)]
    held = []
    for holds, rate in zip(target, means, strict=True):
        cells += ["" if holds is None else int(holds), int(rate >= THRESHOLD), 1 - rate, rate]
        held.append(None if holds is None else rate if holds == 1 else 1 - rate)
    return [*cells, _loss(held)]


def _loss(probabilities_of_truth: Sequence[float | None]) -> float | str:
    return _sum([None if p is None else -math.log(max(p, LEAST_PROBABILITY)) for p in probabilities_of_truth])


def _sum(losses: Sequence[float | None]) -> float | str:
    known = [loss for loss in losses if loss is not None]
    return math.fsum(known) if known else ""
