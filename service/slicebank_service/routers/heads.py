"""Heads: training them on stored bags, and what is known of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.cards import EncoderCard
from slicebank_models.errors import BadTask, BadTrainingValue
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, check_cases, resolve_targets
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.admission import TRAIN_KINDS
from slicebank_service.answers.head_tables import predictions_csv
from slicebank_service.answers.heads import HeadAccepted, HeadDetail, HeadPage, HeadView, head_detail, head_view
from slicebank_service.cohorts.cases import Matched, match_bags
from slicebank_service.cohorts.table import read_labels
from slicebank_service.context import ID_PATTERN, Context, Ctx, Identifier
from slicebank_service.errors import HeadNotReady, NoLabelMatches, SomeUnmatched
from slicebank_service.recipes import recipe_of
from slicebank_service.removal import remove_files
from slicebank_store.catalogue import HeadRecord, NewHead
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownHead
from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel, HeadState

router = APIRouter(prefix="/heads", tags=["heads"])

# Keys named in an error: enough to see the pattern, short enough to read.
_UNMATCHED_SHOWN = 20


class HeadRequest(BaseModel):
    """What a new head shall learn."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=ID_PATTERN, description="Groups versions; the first trained one is what the name means.")
    encoder: str = Field(DEFAULT_ENCODER, pattern=ID_PATTERN, description="Encoder whose bags it reads.")
    task: dict[str, Any] = Field(
        description="{kind: binary|multilabel|multiclass, labels: [...]}; labels may be left out."
    )
    labels: str | list[dict[str, Any]] | list[list[Any]] = Field(
        description="CSV text or rows; first column series_uid, study_uid or patient, the rest labels."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the paper's protocol."
    )
    strict: bool = Field(False, description="Refuse if any row of the labels names no stored bag.")


@router.post("", status_code=202)
def create_head(context: Ctx, request: HeadRequest) -> HeadAccepted:
    """Trains a new version of a head on stored bags; everything that can be wrong is said before a job is made."""
    context.admission.check_queue(TRAIN_KINDS)
    training = TrainingSpec.parse(request.training)
    task = TaskSpec.parse(request.task)
    if not all(label.isprintable() for label in task.labels):
        raise BadTask("the labels of a task must be printable text")
    card = context.registry.get(request.encoder)
    recipe = recipe_of(card)
    _check_windows(training, recipe)
    table = read_labels(request.labels, max_rows=context.settings.max_label_rows)
    targets = resolve_targets(table, task)
    matched = match_bags(context, table.key, targets.by_key, recipe.digest)
    _check_matches(matched, card.id, strict=request.strict)
    cases = [Case(index, case.bag.patient, case.target) for index, case in enumerate(matched.cases)]
    warnings = check_cases(cases, targets.task, training)
    head, job = context.catalogue.heads.create(
        NewHead(
            project=context.project,
            name=request.name,
            encoder=card.id,
            level=BagLevel(card.level.value),
            dim=card.dim,
            recipe=recipe.as_dict(),
            recipe_digest=recipe.digest,
            task=targets.task.as_dict(),
            training=training.as_dict(),
            series_uids=tuple(case.bag.series_uid for case in matched.cases),
        ),
        params=train_params(request.name, targets.task, training, recipe, card, matched),
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
    encoder: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
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
    return head_detail(found, context.catalogue.heads.versions(context.project, found.name))


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


@router.get("/{head}/predictions.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def head_predictions(context: Ctx, head: Identifier) -> Response:
    """Gives every training case with the prediction of a model that did not learn from it."""
    found, report = _report(context, head)
    text = predictions_csv(TaskSpec.parse(found.task), report)
    return Response(text, media_type="text/csv", headers=_saved_as(f"{found.name}-v{found.version}-predictions.csv"))


@router.get("/{head}/splits.json")
def head_splits(context: Ctx, head: Identifier) -> JSONResponse:
    """Gives the patients (pseudonyms) of the test part and of each fold."""
    found, report = _report(context, head)
    return JSONResponse(report["splits"], headers=_saved_as(f"{found.name}-v{found.version}-splits.json"))


def find_head(context: Context, name_or_id: str) -> HeadRecord:
    """The version that an id names, or the promoted one of a name.

    Raises:
        UnknownHead: the project has neither.
    """
    head = context.catalogue.heads.resolve(context.project, name_or_id)
    if head is None:
        raise UnknownHead(f"There is no head {name_or_id[:40]}: see the list of heads.")
    return head


def _report(context: Context, name_or_id: str) -> tuple[HeadRecord, JSON]:
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


def train_params(
    name: str, task: TaskSpec, training: TrainingSpec, recipe: Recipe, card: EncoderCard, matched: Matched
) -> JSON:
    """What a train job is to do, as its worker reads it.

    `cases` holds one object a bag: `bag_id`, `patient` (pseudonym) and `target`, a list of one answer a label: 0, 1 or null; for a
    multiclass task the one index of the class, or null.
    """
    return {
        "name": name,
        "task": task.as_dict(),
        "training": training.as_dict(),
        "cases": [
            {"bag_id": case.bag.bag_id, "patient": case.bag.patient, "target": list(case.target)}
            for case in matched.cases
        ],
        "encoder": card.id,
        "recipe_digest": recipe.digest,
        "level": card.level.value,
        "dim": card.dim,
        "windows": [window.name for window in recipe.windows],
    }


def _check_windows(training: TrainingSpec, recipe: Recipe) -> None:
    known = [window.name for window in recipe.windows]
    unknown = [name for name in training.windows or () if name not in known]
    if unknown and not known:
        raise BadTrainingValue(f"the bags of {recipe.encoder} have one row a scan and no windows; leave windows out")
    if unknown:
        raise BadTrainingValue(
            f"the bags of {recipe.encoder} have no window {', '.join(unknown)[:200]}; they have {', '.join(known)}"
        )


def _check_matches(matched: Matched, encoder: str, *, strict: bool) -> None:
    shown = list(matched.unmatched[:_UNMATCHED_SHOWN])
    if not matched.cases:
        raise NoLabelMatches(
            f"none of the {len(matched.unmatched)} rows of the labels names a bag of {encoder}; upload the series first, "
            "wait for their jobs, and check that the first column holds what its name says",
            unmatched=shown,
        )
    if strict and matched.unmatched:
        raise SomeUnmatched(
            f"{len(matched.unmatched)} rows of the labels name no bag of {encoder}; upload those series, or leave out strict",
            unmatched=shown,
        )
