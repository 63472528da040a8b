"""Heads that answer about every new bag of the project."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slicebank_service.context import ID_PATTERN, Context, Ctx
from slicebank_service.routers.heads import find_head
from slicebank_store.types import HeadState

router = APIRouter(prefix="/on_embedded", tags=["heads"])

# Each is asked about every bag.
_MOST_HEADS = 100


class HeadsNamed(BaseModel):
    """Heads by name, which means the promoted version at the time, or by id."""

    model_config = ConfigDict(extra="forbid")

    heads: list[str] = Field(max_length=_MOST_HEADS)


class HeadOnEmbedded(BaseModel):
    """One of them, and the version that it means now; null while none is ready."""

    head: str = Field(pattern=ID_PATTERN)
    head_id: str | None
    version: int | None
    encoder: str | None


class OnEmbeddedView(BaseModel):
    """The heads that are asked about every new bag of their recipe."""

    items: list[HeadOnEmbedded]


@router.get("")
def get_on_embedded(context: Ctx) -> OnEmbeddedView:
    """Lists the heads that answer about every new bag of their recipe."""
    return OnEmbeddedView(items=[_meant(context, name) for name in context.catalogue.on_embedded.get(context.project)])


@router.put("")
def put_on_embedded(context: Ctx, named: HeadsNamed) -> OnEmbeddedView:
    """Names them anew, none for none. Bags that are there already are asked about by a cohort."""
    for name in named.heads:
        find_head(context, name)
    context.catalogue.on_embedded.put(context.project, named.heads)
    return get_on_embedded(context)


def _meant(context: Context, name: str) -> HeadOnEmbedded:
    head = context.catalogue.heads.resolve(context.project, name)
    if head is None or head.state is not HeadState.READY:
        return HeadOnEmbedded(head=name, head_id=None, version=None, encoder=None if head is None else head.encoder)
    return HeadOnEmbedded(head=name, head_id=head.head_id, version=head.version, encoder=head.encoder)
