"""Heads: training them on stored bags, and what is known of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import check_cases
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_models.training.splits_file import as_given, check_given, with_stamp_layout
from slicebank_service.admission import TRAIN_KINDS
from slicebank_service.answers.head_tables import predictions_csv
from slicebank_service.answers.heads import HeadAccepted, HeadDetail, HeadPage, HeadView, head_detail, head_view
from slicebank_service.cohorts.preparing import cases_as_params, check_windows, prepare_cohort, with_pseudonyms
from slicebank_service.cohorts.reading import what_is_read
from slicebank_service.context import ENCODER_PATTERN, ID_PATTERN, Context, Ctx, Identifier
from slicebank_service.errors import HeadNotReady
from slicebank_service.removal import remove_files
from slicebank_store.catalogue import HeadRecord, NewHead
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownHead
from slicebank_store.types import JSON, HeadState

router = APIRouter(prefix="/heads", tags=["heads"])


class HeadRequest(BaseModel):
    """What a new head shall learn."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=ID_PATTERN, description="Groups versions; the first trained one is what the name means.")
    encoder: str = Field(DEFAULT_ENCODER, pattern=ENCODER_PATTERN, description="Encoder whose bags it reads.")
    task: dict[str, Any] = Field(
        description="{kind: binary|multilabel|multiclass|regression|survival, labels: [...]}; labels may be left out."
    )
    labels: str | list[dict[str, Any]] | list[list[Any]] = Field(
        description="CSV text or rows; first column series_uid, study_uid or patient, the rest labels."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the paper's protocol."
    )
    head: dict[str, Any] = Field(
        default_factory=dict, description="Architecture and sizes; the published head if left out."
    )
    protocol: dict[str, Any] = Field(
        default_factory=dict, description="How it is judged: splits, repeats, pooling, calibration, intervals."
    )
    strict: bool = Field(False, description="Refuse if any row of the labels names no stored bag, or has no label.")


@router.post("", status_code=202)
def create_head(context: Ctx, request: HeadRequest) -> HeadAccepted:
    """Trains a new version of a head on stored bags; everything that can be wrong is said before a job is made."""
    context.admission.check_queue(TRAIN_KINDS)
    training = TrainingSpec.parse(request.training)
    spec = HeadSpec.parse(request.head)
    protocol = with_pseudonyms(context, ProtocolSpec.parse(request.protocol))
    task = TaskSpec.parse(request.task)
    reading = what_is_read(context, request.encoder)
    check_windows(training, reading)
    cohort = prepare_cohort(
        context,
        request.labels,
        task,
        reading,
        pooling=protocol.pooling,
        site_column=protocol.site_column,
        strict=request.strict,
    )
    warnings = check_cases(cohort.cases, cohort.task, as_given(training, protocol.splits))
    if protocol.splits is not None:
        known = {case.patient for case in cohort.cases if any(value is not None for value in case.target)}
        warnings += check_given(protocol.splits, known)
    matched = cohort.matched
    head, job = context.catalogue.heads.create(
        NewHead(
            project=context.project,
            name=request.name,
            encoder=reading.encoder,
            level=reading.level,
            dim=reading.dim,
            recipe=reading.recipe.as_dict(),
            recipe_digest=reading.recipe.digest,
            task=cohort.task.as_dict(),
            training=training.as_dict(),
            head=spec.as_dict(),
            # Given splits may be as long as the cohort; the report keeps what was used.
            protocol={**protocol.as_dict(), "splits": None},
            n_cases=len(matched.cases),
            series_uids=tuple(bag.series_uid for bag in matched.bags),
            patients={bag.series_uid: bag.patient for bag in matched.bags},
        ),
        params={
            "name": request.name,
            "task": cohort.task.as_dict(),
            "training": training.as_dict(),
            "head": spec.as_dict(),
            "protocol": protocol.as_dict(),
            "cases": cases_as_params(matched.cases),
            "encoder": reading.encoder,
            "recipe_digest": reading.recipe.digest,
            "level": reading.level.value,
            "dim": reading.dim,
            "windows": reading.windows,
        },
        manifest={},
    )
    dispatch(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return HeadAccepted(
        head_id=head.head_id,
        job_id=job.job_id,
        name=head.name,
        version=head.version,
        n_cases=len(matched.cases),
        unmatched=list(matched.unmatched),
        warnings=list(warnings),
    )


@router.get("")
def list_heads(
    context: Ctx,
    name: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    encoder: Annotated[str | None, Query(pattern=ENCODER_PATTERN)] = None,
    state: HeadState | None = None,
    promoted: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> HeadPage:
    """Lists head versions, the newest first."""
    page = context.catalogue.heads.list(
        context.project, name=name, encoder=encoder, state=state, promoted=promoted, limit=limit, cursor=cursor
    )
    return HeadPage(items=[head_view(head) for head in page.items], next_cursor=page.next_cursor)


@router.get("/{head}")
def get_head(context: Ctx, head: Identifier) -> HeadDetail:
    """Shows the version that an id names, or the promoted one of a name."""
    found = find_head(context, head)
    heads = context.catalogue.heads
    return head_detail(
        found, heads.versions(context.project, found.name), heads.promotions(context.project, found.name)
    )


@router.delete("/{head}", status_code=204)
def delete_head(context: Ctx, head: Identifier) -> Response:
    """Removes one version by its id, or every version of a name, with their predictions; removing what is not there is no error."""
    catalogue, project = context.catalogue, context.project
    by_id = catalogue.heads.get(project, head)
    versions = [by_id] if by_id is not None else catalogue.heads.versions(project, head)
    remove_files(context, *[catalogue.deletions.delete_head(project, version.head_id) for version in versions])
    return Response(status_code=204)


@router.post("/{head}/promote")
def promote_head(context: Ctx, head: Identifier) -> HeadView:
    """Makes a version what its name means."""
    return head_view(context.catalogue.heads.promote(context.project, find_head(context, head).head_id))


@router.post("/{head}/rollback")
def roll_head_back(context: Ctx, head: Identifier) -> HeadView:
    """Makes a name mean the version that it meant before; again, the one before that."""
    name = find_head(context, head).name
    return head_view(context.catalogue.heads.roll_back(context.project, name))


@router.get("/{head}/predictions.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def head_predictions(context: Ctx, head: Identifier) -> Response:
    """Gives every training case with the prediction of a model that did not learn from it."""
    found, report = trained_head(context, head)
    text = predictions_csv(TaskSpec.parse(found.task), report)
    return Response(text, media_type="text/csv", headers=_saved_as(f"{found.name}-v{found.version}-predictions.csv"))


@router.get("/{head}/splits.json")
def head_splits(context: Ctx, head: Identifier) -> JSONResponse:
    """Gives the patients (pseudonyms) of the test part and of each fold, in our layout and in STAMP's."""
    found, report = trained_head(context, head)
    return JSONResponse(
        with_stamp_layout(report["splits"]), headers=_saved_as(f"{found.name}-v{found.version}-splits.json")
    )


def find_head(context: Context, name_or_id: str) -> HeadRecord:
    """The version that an id names, or the promoted one of a name.

    Raises:
        UnknownHead: the project has neither.
    """
    head = context.catalogue.heads.resolve(context.project, name_or_id)
    if head is None:
        raise UnknownHead(f"There is no head {name_or_id[:40]}: see the list of heads.")
    return head


def ready_head(context: Context, name_or_id: str) -> HeadRecord:
    """The trained version that an id or a name means.

    Raises:
        UnknownHead: the project has neither.
        HeadNotReady: it is not trained; carries its job.
    """
    head = find_head(context, name_or_id)
    if head.state is HeadState.READY:
        return head
    what = "is still being trained; wait for" if head.state is HeadState.TRAINING else f"is {head.state.value}; see"
    raise HeadNotReady(
        f"version {head.version} of head {head.name} {what} job {head.job_id}",
        job_id=head.job_id,
        state=head.state.value,
    )


def trained_head(context: Context, name_or_id: str) -> tuple[HeadRecord, JSON]:
    """A head version and what its training wrote.

    Raises:
        UnknownHead: there is none.
        HeadNotReady: it is not trained.
    """
    head = find_head(context, name_or_id)
    report = context.catalogue.heads.report(context.project, head.head_id)
    if report is None:
        raise HeadNotReady(
            f"version {head.version} of head {head.name} is {head.state.value}; see job {head.job_id}",
            job_id=head.job_id,
            state=head.state.value,
        )
    return head, report


def _saved_as(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"'}
