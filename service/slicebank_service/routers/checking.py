"""Asking what is known before hundreds of megabytes are sent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.context import ID_PATTERN, Ctx
from slicebank_service.intake.asked import SHA256_PATTERN
from slicebank_service.recipes import recipe_of
from slicebank_store.catalogue.known_uploads import StoredSeries

router = APIRouter(prefix="/series", tags=["series"])

# Bytes of a request: 700 KB; a larger cohort asks several times.
_MOST_DIGESTS = 10_000


class Check(BaseModel):
    """Uploads by what their sender calls them, and what is wanted of them."""

    model_config = ConfigDict(extra="forbid")

    sha256: list[Annotated[str, Field(pattern=SHA256_PATTERN)]] = Field(max_length=_MOST_DIGESTS)
    encoder: str | None = Field(
        DEFAULT_ENCODER, pattern=ID_PATTERN, description="Whose bags are wanted; null asks for kept pixels."
    )


class KnownSeries(BaseModel):
    """A series that need not be sent; `job_id` is null where no job tells how it came, `bag_id` where pixels were asked for."""

    series_uid: str
    study_uid: str
    revision: int
    stack: int
    bag_id: str | None
    job_id: str | None
    state: str


class Checked(BaseModel):
    """The series of each upload of which everything is there or being made; an upload that must be sent is left out."""

    known: dict[str, list[KnownSeries]]


@router.post("/check")
def check_series(context: Ctx, asked: Check) -> Checked:
    """Says which uploads need not be sent, by the `digest` that they were sent with before."""
    recipe = None if asked.encoder is None else recipe_of(context.registry.get(asked.encoder))
    stored = context.catalogue.known_uploads.stored(
        context.project, asked.sha256, None if recipe is None else recipe.digest
    )
    return Checked(known={digest: [_shown(item) for item in items] for digest, items in stored.items()})


def _shown(item: StoredSeries) -> KnownSeries:
    return KnownSeries(
        series_uid=item.known.series_uid,
        study_uid=item.known.study_uid,
        revision=item.known.revision,
        stack=item.known.stack,
        bag_id=item.bag_id,
        job_id=item.job_id,
        state=item.state.value,
    )
