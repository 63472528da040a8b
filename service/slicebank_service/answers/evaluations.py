"""Evaluations as the REST interface shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.times import iso, iso_or_none
from slicebank_store.catalogue import JobRecord
from slicebank_store.catalogue.evaluations import EvaluationRecord


class Leakage(BaseModel):
    """Cases left out because the head has learnt from them, and of how many patients they are."""

    left_out: int
    patients: int


class EvaluationAccepted(BaseModel):
    """An evaluation that is at work."""

    evaluation_id: str
    head_id: str
    job_id: str
    n_cases: int
    unmatched: list[str]
    leakage: Leakage
    warnings: list[str]


class EvaluationView(BaseModel):
    """One head version measured on another cohort; `metrics`, with `intervals`, once its job has succeeded."""

    evaluation_id: str
    head_id: str
    job_id: str
    name: str
    state: str
    n_cases: int
    leakage: Leakage
    metrics: dict[str, Any] | None
    created_at: str
    finished_at: str | None


class EvaluationDetail(EvaluationView):
    """The same with the prediction of every case."""

    predictions: list[dict[str, Any]] | None


class EvaluationPage(BaseModel):
    """One page of evaluations."""

    items: list[EvaluationView]
    next_cursor: str | None


def evaluation_view(evaluation: EvaluationRecord, job: JobRecord | None) -> EvaluationView:
    """Shows an evaluation."""
    return EvaluationView(**_shown(evaluation, job))


def evaluation_detail(evaluation: EvaluationRecord, job: JobRecord | None) -> EvaluationDetail:
    """Shows an evaluation with its predictions."""
    predictions = None if evaluation.result is None else evaluation.result["predictions"]
    return EvaluationDetail(**_shown(evaluation, job), predictions=predictions)


def _shown(evaluation: EvaluationRecord, job: JobRecord | None) -> dict[str, Any]:
    gone = "deleted" if evaluation.result is None else "succeeded"
    return {
        "evaluation_id": evaluation.evaluation_id,
        "head_id": evaluation.head_id,
        "job_id": evaluation.job_id,
        "name": evaluation.name,
        "state": gone if job is None else job.state.value,
        "n_cases": evaluation.n_cases,
        "leakage": evaluation.leakage,
        "metrics": None if evaluation.result is None else evaluation.result["metrics"],
        "created_at": iso(evaluation.created_at),
        "finished_at": iso_or_none(evaluation.finished_at),
    }
