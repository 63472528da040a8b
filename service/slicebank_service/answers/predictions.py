"""Predictions as the REST interface shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.jobs import JobView
from slicebank_service.answers.times import iso
from slicebank_store.catalogue import PredictionRecord


class PredictionOutput(BaseModel):
    """The answer for one label."""

    label: str
    probability: float
    logit: float
    fold_std: float


class AttentionRow(BaseModel):
    """Attention on one row of the bag; `slice_index` counts from the lowest slice."""

    row: int
    slice_index: int
    window: str | None
    sop_instance_uid: str | None
    instance_number: int | None
    z_mm: float | None
    weight: float
    logit: float


class AttentionSlice(BaseModel):
    """Attention on one slice, all windows together; rank 1 has the most."""

    slice_index: int
    sop_instance_uid: str | None
    weight: float
    rank: int


class Attention(BaseModel):
    """Attention by row and by slice; the weights of each sum to 1."""

    rows: list[AttentionRow]
    slices: list[AttentionSlice]


class PredictionView(BaseModel):
    """The answer of one head version about one bag."""

    prediction_id: str
    head_id: str
    bag_id: str
    series_uid: str
    study_uid: str
    rule: str | None = None
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


def prediction_view(prediction: PredictionRecord, *, rule: str | None = None) -> PredictionView:
    """Shows a prediction.

    Args:
        prediction: its row.
        rule: how the bag was chosen, where the request left that open.
    """
    stored: dict[str, Any] = {"outputs": prediction.outputs, "attention": prediction.attention}
    return PredictionView(
        prediction_id=prediction.prediction_id,
        head_id=prediction.head_id,
        bag_id=prediction.bag_id,
        series_uid=prediction.series_uid,
        study_uid=prediction.study_uid,
        rule=rule,
        created_at=iso(prediction.created_at),
        **stored,
    )
