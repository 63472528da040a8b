"""Encoders: the cards of those that can embed here; for administrators also pulling, checking and removing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from slicebank_models.errors import LicenceNotAccepted
from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.published import published_plan
from slicebank_models.hub.references import PublishedReference, Reference, TimmReference, parse_reference
from slicebank_models.hub.terms import require_accepted
from slicebank_models.verifying import verify_encoder
from slicebank_service.admission import EMBED_KINDS
from slicebank_service.answers.encoders import (
    CheckView,
    EncoderList,
    EncoderView,
    PullAnswer,
    PullAsked,
    check_view,
    encoder_view,
)
from slicebank_service.context import Admin, Context, Ctx, Identifier
from slicebank_service.errors import BadRequest
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.dispatching import dispatch
from slicebank_store.types import JobKind, Priority

router = APIRouter(prefix="/encoders", tags=["encoders"])


@router.get("")
def list_encoders(context: Ctx) -> EncoderList:
    """Lists the encoders, the default first."""
    registry = context.registry
    return EncoderList(
        items=[encoder_view(card, registered=registry.registered(card.id)) for card in registry.cards()],
        problems=registry.problems(),
    )


@router.get("/{encoder_id}")
def get_encoder(context: Ctx, encoder_id: Identifier) -> EncoderView:
    """Shows one encoder."""
    return encoder_view(context.registry.get(encoder_id), registered=context.registry.registered(encoder_id))


@router.post("", status_code=202)
def pull_encoder(context: Ctx, _admin: Admin, asked: PullAsked) -> PullAnswer:
    """Has a worker pull an encoder's weights from the hub that the settings name, and register it; for administrators.

    Without `accept_licence` the answer is 409 `licence_not_accepted`, and says where the terms are.
    """
    reference = parse_reference(asked.pull)
    access = HubAccess(context.settings.hub_endpoint, context.settings.offline)
    access.require_online()
    if asked.windows is not None:
        from slicebank_imaging.windows import parse_windows

        parse_windows(asked.windows)
    encoder_id = _check(context, access, reference, asked)
    context.admission.check_queue(EMBED_KINDS)
    params = {"encoder_id": encoder_id or asked.pull, **asked.model_dump(exclude_none=True)}
    job = context.catalogue.jobs.create(
        NewJob(project=context.project, kind=JobKind.PULL, priority=Priority.INTERACTIVE, params=params)
    )
    dispatch(context.catalogue, context.queue, JobKind.PULL, job.job_id, Priority.INTERACTIVE)
    return PullAnswer(job_id=job.job_id, state=job.state.value, encoder_id=encoder_id)


@router.post("/{encoder_id}/verify")
def verify(context: Ctx, _admin: Admin, encoder_id: Identifier) -> CheckView:
    """Reads an encoder's stored weights again and tells whether they are as they were registered; for administrators."""
    return check_view(verify_encoder(context.registry, encoder_id))


@router.delete("/{encoder_id}", status_code=204)
def remove(context: Ctx, _admin: Admin, encoder_id: Identifier) -> Response:
    """Removes an encoder that was pulled or added; its bags stay. For administrators."""
    context.registry.remove(encoder_id)
    return Response(status_code=204)


def _check(context: Context, access: HubAccess, reference: Reference, asked: PullAsked) -> str | None:
    """Refuses what can be refused without asking a hub; the id, where it is known."""
    if isinstance(reference, PublishedReference):
        plan = published_plan(reference, context.registry, access, encoder_id=asked.id, sha256=asked.sha256)
        context.registry.require_free(plan.encoder_id)
        require_accepted(plan.encoder_id, plan.terms, asked.accept_licence)
        return plan.encoder_id
    if not context.settings.hub_pulls:
        raise BadRequest("this service pulls published encoders alone (SLICEBANK_HUB_PULLS is off)")
    if not asked.accept_licence:
        where = "timm" if isinstance(reference, TimmReference) else access.page(reference.place)
        raise LicenceNotAccepted(
            f"the terms of {asked.pull} are stated at {where}; read them, and send accept_licence=true if you accept them"
        )
    if asked.id is not None:
        context.registry.require_free(asked.id)
    return asked.id
