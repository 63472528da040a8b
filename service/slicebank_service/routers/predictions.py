"""Predictions: asking a head, and the answers it gave."""

from __future__ import annotations

import time
from typing import Annotated, Self

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, model_validator

from slicebank_service.admission import PREDICT_KINDS
from slicebank_service.answers.groups import GroupView
from slicebank_service.answers.jobs import job_view
from slicebank_service.answers.predictions import PredictionPending, PredictionView, json_answer, prediction_json
from slicebank_service.asking import Subject, question, subject_of_bag, subject_of_series, subject_of_study
from slicebank_service.cohorts.asking_many import MOST_CASES, AskedCase, ask_cohort
from slicebank_service.context import ID_PATTERN, Context, Ctx, Identifier
from slicebank_service.errors import (
    DependencyFailed,
    PredictionFailed,
    PredictionNotReady,
    UnknownPrediction,
)
from slicebank_service.routers.groups import show_group
from slicebank_service.routers.heads import ready_head
from slicebank_service.routers.jobs import show
from slicebank_service.waiting import wait_for_prediction
from slicebank_store.catalogue import HeadRecord, JobRecord, PredictionRecord
from slicebank_store.dispatching import announce
from slicebank_store.types import JSON, JobState

router = APIRouter(tags=["predictions"])


class PredictionRequest(AskedCase):
    """What a head is asked about: exactly one of the four."""

    cohort: list[Annotated[str, Field(pattern=ID_PATTERN)] | AskedCase] | None = Field(
        None,
        min_length=1,
        max_length=MOST_CASES,
        description="Series UIDs, or objects of series_uid, study_uid or bag_id.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        one = [value for value in (self.series_uid, self.study_uid, self.bag_id, self.cohort) if value is not None]
        if len(one) != 1:
            raise ValueError("give exactly one of series_uid, study_uid, bag_id and cohort")
        return self

    @property
    def cases(self) -> list[AskedCase]:
        """The cohort's."""
        return [AskedCase(series_uid=item) if isinstance(item, str) else item for item in self.cohort or ()]


@router.post(
    "/heads/{head}/predictions",
    response_model=PredictionView,
    responses={202: {"model": PredictionPending | GroupView}},
)
async def ask_head(
    context: Ctx,
    request: Request,
    response: Response,
    head: Identifier,
    wanted: PredictionRequest,
    wait: Annotated[float | None, Query(ge=0, description="Seconds to wait for the answer.")] = None,
) -> Response:
    """Asks a head about a series, a study or a bag: 200 with the answer, 202 with its job where a bag must be made first.

    About a cohort: 202 with a group of jobs.
    """
    if wanted.cohort is not None:
        return await anyio.to_thread.run_sync(_ask_cohort, context, head, wanted.cases)

    def ask() -> tuple[Subject, JSON, PredictionRecord | JobRecord]:
        version = ready_head(context, head)
        subject = _subject(context, version, wanted)
        return subject, *_answer_or_job(context, version, subject, straight=wait is None or wait > 0)

    subject, stages, found = await anyio.to_thread.run_sync(ask)
    if isinstance(found, JobRecord):
        # A bag on its way takes its time; one that is stored is answered from within milliseconds.
        patience = (0.0 if subject.waits_for else context.settings.prediction_wait_seconds) if wait is None else wait
        found = await _outcome(context, request, found, patience)
    if isinstance(found, PredictionRecord):
        timing = ", ".join(f"{name.removesuffix('_s')};dur={1000 * seconds:.1f}" for name, seconds in stages.items())
        headers = {"Server-Timing": timing} if timing else None
        return json_answer(prediction_json(found, rule=subject.rule), headers=headers)
    pending = await anyio.to_thread.run_sync(_pending, context, found, subject)
    return json_answer(pending.model_dump_json(), status_code=202)


def _ask_cohort(context: Context, head: str, cases: list[AskedCase]) -> Response:
    context.admission.check_queue(PREDICT_KINDS)
    version = ready_head(context, head)
    group = ask_cohort(context, version, cases)
    return json_answer(show_group(context, group.group_id).model_dump_json(), status_code=202)


@router.get("/predictions/{prediction_id}", response_model=PredictionView)
def get_prediction(context: Ctx, prediction_id: Identifier) -> Response:
    """Shows a prediction."""
    return json_answer(prediction_json(stored_prediction(context, prediction_id)))


@router.get(
    "/predictions/{prediction_id}/attention.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def attention_png(
    context: Ctx,
    prediction_id: Identifier,
    top: Annotated[int, Query(ge=0, le=8, description="Slices shown below.")] = 5,
) -> Response:
    """Draws the attention of a prediction: a curve per window over the slices, and the slices that drew most of it."""
    # Here, because it brings matplotlib, which takes as long to load as a third of the service.
    from slicebank_service.answers.picture_of import picture_of

    picture = picture_of(context, stored_prediction(context, prediction_id), top)
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def _subject(context: Context, head: HeadRecord, wanted: PredictionRequest) -> Subject:
    if wanted.bag_id is not None:
        return subject_of_bag(context, head, wanted.bag_id)
    if wanted.series_uid is not None:
        return subject_of_series(context, head, context.pseudonyms.uid_asked(wanted.series_uid))
    return subject_of_study(context, head, context.pseudonyms.uid_asked(wanted.study_uid or ""))


def _answer_or_job(
    context: Context, head: HeadRecord, subject: Subject, *, straight: bool
) -> tuple[JSON, PredictionRecord | JobRecord]:
    """What is known, or is answered while the request waits, with the seconds that its stages took; else a job."""
    new = question(context.project, head, subject)
    prediction_id = new.prediction_id or ""
    known = context.catalogue.predictions.get(context.project, prediction_id)
    stages: JSON = {}
    if known is None and straight and subject.waits_for is None:
        asked = {
            "project": context.project,
            "prediction_id": prediction_id,
            "head_id": head.head_id,
            "bag_ids": list(subject.bag_ids),
            "rule": new.params.get("rule"),
        }
        stages = context.asker.ask(asked) or {}
        if stages:
            known = context.catalogue.predictions.get(context.project, prediction_id)
    if known is not None:
        context.metrics.predictions.labels("straight" if stages else "known").inc()
        return stages, known
    context.metrics.predictions.labels("job").inc()
    job = context.catalogue.jobs.create(new)
    if job.state is JobState.QUEUED and job.waits_for is None:
        announce(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return {}, job


async def _outcome(context: Context, request: Request, job: JobRecord, patience: float) -> PredictionRecord | JobRecord:
    """The prediction, if its job succeeds in time, else the job, which goes on.

    Raises:
        PredictionFailed: the job has ended without a prediction.
        UnknownPrediction: the prediction was made, and removed since.
    """
    found = await wait_for_prediction(context, request, job, patience)
    if isinstance(found, PredictionRecord) or not found.state.final:
        return found
    job = found
    if job.state is not JobState.SUCCEEDED:
        raise await anyio.to_thread.run_sync(_failure, context, job)
    return await anyio.to_thread.run_sync(stored_prediction, context, job.prediction_id or "")


def _failure(context: Context, job: JobRecord) -> PredictionFailed:
    view = job_view(job, place=None, now=time.time()).model_dump()
    if job.state is JobState.FAILED and job.waits_for is not None:
        return DependencyFailed(f"the bag to answer from was not made: {_cause(context, job.waits_for)}", job=view)
    return PredictionFailed(_ending(job), job=view)


def _cause(context: Context, job_id: str) -> str:
    """How the job ended that a chain of waiting jobs begins with."""
    job = context.catalogue.jobs.get(context.project, job_id)
    if job is None:
        return f"job {job_id} was deleted; ask again"
    if job.state is JobState.FAILED and job.waits_for is not None:
        return _cause(context, job.waits_for)
    return _ending(job)


def _ending(job: JobRecord) -> str:
    if job.state is JobState.FAILED:
        return f"job {job.job_id} failed ({job.error_code}): {job.error_detail}"
    # A job that was tried again meanwhile is neither failed nor cancelled.
    return f"job {job.job_id} is {job.state.value}; ask again"


def _pending(context: Context, job: JobRecord, subject: Subject) -> PredictionPending:
    return PredictionPending(
        prediction_id=job.prediction_id or "",
        head_id=job.head_id or "",
        bag_id=subject.bag_id,
        series_uid=subject.series_uid,
        rule=subject.rule,
        job_id=job.job_id,
        state=job.state.value,
        job=show(context, job),
    )


def stored_prediction(context: Context, prediction_id: str) -> PredictionRecord:
    """A prediction that was made.

    Raises:
        UnknownPrediction: there is none.
        PredictionNotReady: its job has not ended.
    """
    found = context.catalogue.predictions.get(context.project, prediction_id)
    if found is not None:
        return found
    job = context.catalogue.jobs.latest_for_prediction(context.project, prediction_id)
    if job is None or job.state.final:
        raise UnknownPrediction(f"There is no prediction {prediction_id[:40]}: ask its head again.")
    raise PredictionNotReady(f"The prediction waits for job {job.job_id}.", job=show(context, job).model_dump())
