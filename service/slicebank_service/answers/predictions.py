"""Predictions as the REST interface shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from pydantic import BaseModel
from pydantic_core import to_json

from slicebank_service.answers.jobs import JobView
from slicebank_service.answers.times import iso
from slicebank_store.catalogue import PredictionRecord


class PredictionOutput(BaseModel):
    """The answer for one label.

    Attributes:
        probability: of classifications; calibrated where `calibrated` says so.
        logit: log-odds of it, or its logarithm for the classes of one task.
        fold_std: spread of the folds' answers.
        value: of a regression; of a survival task the risk, a log hazard ratio.
        raw_probability: before calibration.
    """

    label: str
    probability: float | None = None
    logit: float | None = None
    fold_std: float | None = None
    value: float | None = None
    raw_probability: float | None = None
    calibrated: bool = False


class AttentionRow(BaseModel):
    """Attention on one row of the bag; `slice_index` counts from the lowest slice.

    Attributes:
        series_uid: where the answer is about several series.
        weight: normalised: all rows together sum to 1.
        logit: raw, before the softmax.
        percentile: share of rows with less weight, ties half, 0 to 100.
    """

    row: int
    series_uid: str | None = None
    slice_index: int
    window: str | None
    sop_instance_uid: str | None
    instance_number: int | None
    z_mm: float | None
    weight: float
    logit: float
    percentile: float | None = None


class AttentionSlice(BaseModel):
    """Attention on one slice, all windows together; rank 1 has the most."""

    series_uid: str | None = None
    slice_index: int
    sop_instance_uid: str | None
    weight: float
    rank: int
    percentile: float | None = None


class LabelAttention(BaseModel):
    """Attention of a head that has one for each label; in the order of the rows, `weights` sum to 1."""

    label: str
    weights: list[float]
    logits: list[float]


class Attention(BaseModel):
    """Attention by row and by slice; the weights of each sum to 1."""

    rows: list[AttentionRow]
    slices: list[AttentionSlice]
    labels: list[LabelAttention] | None = None


class SeriesUsed(BaseModel):
    """One of the series that an answer is about."""

    series_uid: str
    bag_id: str
    n_rows: int | None = None


class PredictionView(BaseModel):
    """The answer of one head version about one bag, or about several together.

    Attributes:
        rule: how the bag was chosen, or several were joined, where the request left that open.
        in_training: whether the head has learnt from this series or another of its patient; null in answers of older versions.
        series: every series used; `series_uid` and `bag_id` are of the one with the most slices.
    """

    prediction_id: str
    head_id: str
    bag_id: str
    series_uid: str
    study_uid: str
    rule: str | None = None
    in_training: bool | None = None
    series: list[SeriesUsed]
    outputs: list[PredictionOutput]
    attention: Attention
    created_at: str


class PredictionPending(BaseModel):
    """An answer that is still to come."""

    prediction_id: str
    head_id: str
    bag_id: str
    series_uid: str
    rule: str | None
    job_id: str
    state: str
    job: JobView


def prediction_json(prediction: PredictionRecord, *, rule: str | None = None) -> str:
    """A `PredictionView` as JSON text.

    What workers wrote is told as it stands: reading hundreds of rows into models and writing them again would take longer than
    answering.

    Args:
        prediction: its row.
        rule: how the bag was chosen, where the request left that open.
    """
    about = prediction.about
    series = about.get("series") or [{"series_uid": prediction.series_uid, "bag_id": prediction.bag_id}]
    answer: dict[str, Any] = {
        "prediction_id": prediction.prediction_id,
        "head_id": prediction.head_id,
        "bag_id": prediction.bag_id,
        "series_uid": prediction.series_uid,
        "study_uid": prediction.study_uid,
        "rule": about.get("rule") or rule,
        "in_training": about.get("in_training"),
        "series": series,
        "outputs": prediction.outputs,
        "attention": prediction.attention,
        "created_at": iso(prediction.created_at),
    }
    return to_json(answer, inf_nan_mode="null").decode()


def json_answer(text: str, *, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON text as an answer."""
    return Response(text, status_code=status_code, media_type="application/json", headers=headers)
