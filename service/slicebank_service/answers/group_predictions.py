"""What a head said of a cohort, as JSON and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.predictions import PredictionOutput
from slicebank_store.catalogue.predictions import GroupAnswer

# Of one output, as far as its task gives them.
_FIGURES = ("probability", "raw_probability", "value", "fold_std")


class CaseError(BaseModel):
    """Why there is no answer."""

    code: str
    detail: str


class CasePrediction(BaseModel):
    """One case: its answer, or why there is none; while its job is at work, neither."""

    case: int
    state: str
    job_id: str | None
    prediction_id: str | None
    head_id: str | None
    series_uid: str | None
    study_uid: str | None
    bag_id: str | None
    in_training: bool | None
    outputs: list[PredictionOutput]
    error: CaseError | None


class GroupPredictions(BaseModel):
    """All cases, in the order in which they were asked about."""

    items: list[CasePrediction]


def group_predictions_view(answers: Sequence[GroupAnswer]) -> GroupPredictions:
    """Shows the answers about a cohort."""
    items = [
        CasePrediction(
            case=answer.case,
            state=answer.state.value,
            job_id=answer.job_id,
            prediction_id=answer.prediction_id,
            head_id=answer.head_id,
            series_uid=answer.series_uid,
            study_uid=answer.study_uid,
            bag_id=answer.bag_id,
            in_training=answer.about.get("in_training"),
            outputs=[PredictionOutput(**output) for output in answer.outputs],
            error=None if answer.code is None else CaseError(code=answer.code, detail=answer.detail or ""),
        )
        for answer in answers
    ]
    return GroupPredictions(items=items)


def group_predictions_csv(answers: Sequence[GroupAnswer]) -> str:
    """One row a case: names, state, whether the head has learnt from it, then of each label what its task gives.

    Columns of a label are `LABEL_probability`, `LABEL_raw_probability` (where probabilities are calibrated), `LABEL_value` and
    `LABEL_fold_std`; a case without an answer leaves them empty and says why in `error`.
    """
    columns = _columns(answers)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    named = ["case", "series_uid", "study_uid", "bag_id", "prediction_id", "state", "in_training"]
    writer.writerow([*named, *(f"{label}_{figure}" for label, figure in columns), "error"])
    for answer in answers:
        by_label: dict[str, dict[str, Any]] = {output["label"]: output for output in answer.outputs}
        figures = [by_label.get(label, {}).get(figure) for label, figure in columns]
        names = [answer.case, answer.series_uid, answer.study_uid, answer.bag_id, answer.prediction_id]
        seen = answer.about.get("in_training")
        told = "" if seen is None else str(seen).lower()
        writer.writerow([*names, answer.state.value, told, *figures, answer.code])
    return target.getvalue()


def _columns(answers: Sequence[GroupAnswer]) -> list[tuple[str, str]]:
    """Labels in the head's order, each with the figures that some answer has."""
    found: dict[str, set[str]] = {}
    for answer in answers:
        for output in answer.outputs:
            given = {figure for figure in _FIGURES if output.get(figure) is not None}
            if not output.get("calibrated"):
                given.discard("raw_probability")
            found.setdefault(output["label"], set()).update(given)
    return [(label, figure) for label, given in found.items() for figure in _FIGURES if figure in given]
