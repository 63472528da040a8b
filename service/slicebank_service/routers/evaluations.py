"""External validation: a head version measured on a labelled cohort that it has not learnt from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.heads.protocol import Pooling
from slicebank_models.heads.spec import TaskSpec
from slicebank_service.admission import TRAIN_KINDS
from slicebank_service.answers.evaluations import (
    EvaluationAccepted,
    EvaluationDetail,
    EvaluationPage,
    Leakage,
    evaluation_detail,
    evaluation_view,
)
from slicebank_service.cohorts.cases import LabelledCase
from slicebank_service.cohorts.preparing import cases_as_params, prepare_cohort
from slicebank_service.cohorts.reading import Reading
from slicebank_service.context import Context, Ctx, Identifier
from slicebank_service.errors import LearntFrom, UnknownEvaluation
from slicebank_service.routers.heads import find_head, ready_head
from slicebank_store.catalogue import HeadRecord
from slicebank_store.catalogue.evaluations import EvaluationRecord, NewEvaluation
from slicebank_store.dispatching import dispatch
from slicebank_store.recipe import Recipe

router = APIRouter(tags=["heads"])

_BOOTSTRAP = 1000


class EvaluationRequest(BaseModel):
    """What a head is measured on."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$", description="What you call the cohort.")
    labels: str | list[dict[str, Any]] | list[list[Any]] = Field(
        description="As for training; its columns must be the head's labels."
    )
    strict: bool = Field(False, description="Refuse if any row of the labels names no stored bag, or has no label.")
    keep_learnt: bool = Field(
        False, description="Measure cases of patients that the head has learnt from too, instead of leaving them out."
    )
    bootstrap: int = Field(_BOOTSTRAP, ge=0, le=100_000, description="Resamplings of patients for 95 % intervals.")


@router.post("/heads/{head}/evaluations", status_code=202)
def evaluate_head(context: Ctx, head: Identifier, request: EvaluationRequest) -> EvaluationAccepted:
    """Measures a head version on another labelled cohort; patients that it has learnt from are left out, and counted."""
    context.admission.check_queue(TRAIN_KINDS)
    version = ready_head(context, head)
    task = TaskSpec.parse(version.task)
    reading = Reading(version.encoder, Recipe.from_dict(version.recipe), version.level, version.dim)
    cohort = prepare_cohort(
        context,
        request.labels,
        task,
        reading,
        pooling=Pooling(version.protocol.get("pooling", Pooling.LARGEST)),
        strict=request.strict,
    )
    labelled = [case for case in cohort.matched.cases if any(value is not None for value in case.target)]
    learnt = [] if request.keep_learnt else _learnt(context, version, labelled)
    left_out = {case.unit for case in learnt}
    cases = tuple(case for case in labelled if case.unit not in left_out)
    if not cases:
        raise LearntFrom(
            f"head {version.name} version {version.version} has learnt from every patient of these labels; "
            "send patients that it has not seen, or keep_learnt=true for what it makes of those it has"
            if learnt
            else "no matched row of the labels has a label; fill them in"
        )
    leakage = Leakage(left_out=len(learnt), patients=len({case.patient for case in learnt}))
    made, job = context.catalogue.evaluations.create(
        NewEvaluation(context.project, version.head_id, request.name, len(cases), leakage.model_dump()),
        params={"cases": cases_as_params(cases), "bootstrap": request.bootstrap},
    )
    dispatch(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return EvaluationAccepted(
        evaluation_id=made.evaluation_id,
        head_id=version.head_id,
        job_id=job.job_id,
        n_cases=len(cases),
        unmatched=list(cohort.matched.unmatched),
        leakage=leakage,
        warnings=_warnings(leakage, len(cohort.matched.cases) - len(labelled), keep=request.keep_learnt),
    )


@router.get("/heads/{head}/evaluations")
def list_evaluations(
    context: Ctx, head: Identifier, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
) -> EvaluationPage:
    """Lists the evaluations of a head version, the newest first."""
    version = find_head(context, head)
    page = context.catalogue.evaluations.list(context.project, version.head_id, limit=limit, cursor=cursor)
    jobs = context.catalogue.jobs.get_many(context.project, [item.job_id for item in page.items])
    return EvaluationPage(
        items=[evaluation_view(item, jobs.get(item.job_id)) for item in page.items], next_cursor=page.next_cursor
    )


@router.get("/evaluations/{evaluation_id}")
def get_evaluation(context: Ctx, evaluation_id: Identifier) -> EvaluationDetail:
    """Shows an evaluation with the prediction of every case."""
    found: EvaluationRecord | None = context.catalogue.evaluations.get(context.project, evaluation_id)
    if found is None:
        raise UnknownEvaluation(f"There is no evaluation {evaluation_id[:40]}: see the list of its head.")
    return evaluation_detail(found, context.catalogue.jobs.get(context.project, found.job_id))


def _learnt(context: Context, head: HeadRecord, cases: list[LabelledCase]) -> list[LabelledCase]:
    """Cases of patients or series that the head has learnt from."""
    series, patients = context.catalogue.heads.learnt_patients(context.project, head.head_id)
    return [case for case in cases if case.patient in patients or any(bag.series_uid in series for bag in case.bags)]


def _warnings(leakage: Leakage, unlabelled: int, *, keep: bool) -> list[str]:
    said = []
    if leakage.left_out:
        said.append(
            f"{leakage.left_out} cases of {leakage.patients} patients that the head has learnt from are left out."
        )
    if keep:
        said.append(
            "Patients that the head has learnt from are measured too: the figures flatter it where there are any."
        )
    if unlabelled:
        said.append(f"{unlabelled} cases without a known label are left out.")
    return said
