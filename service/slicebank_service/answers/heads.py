"""Heads as the REST interface shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.times import iso, iso_or_none
from slicebank_store.catalogue import HeadRecord
from slicebank_store.catalogue.promotions import Promotion


class HeadView(BaseModel):
    """One version of a head."""

    head_id: str
    name: str
    version: int
    state: str
    promoted: bool
    encoder: str
    level: str
    dim: int
    recipe: dict[str, Any]
    recipe_digest: str
    task: dict[str, Any]
    training: dict[str, Any]
    head: dict[str, Any]
    protocol: dict[str, Any]
    metrics: dict[str, Any] | None
    n_cases: int
    training_data_deleted: bool
    job_id: str
    created_at: str
    finished_at: str | None


class HeadVersion(BaseModel):
    """A version in the list of a head's versions."""

    head_id: str
    version: int
    state: str
    promoted: bool
    created_at: str


class HeadPromotion(BaseModel):
    """That a name came to mean a version; `reason` is trained, promoted, rolled_back or deleted."""

    head_id: str
    version: int
    reason: str
    promoted_at: str


class HeadDetail(HeadView):
    """One version with its siblings, and what the name has meant, oldest first."""

    versions: list[HeadVersion]
    promotions: list[HeadPromotion]


class HeadPage(BaseModel):
    """One page of head versions."""

    items: list[HeadView]
    next_cursor: str | None


class HeadAccepted(BaseModel):
    """A head that is being trained."""

    head_id: str
    job_id: str
    name: str
    version: int
    n_cases: int
    unmatched: list[str]
    warnings: list[str]


def head_view(head: HeadRecord) -> HeadView:
    """Shows a head version."""
    return HeadView(**_shown(head))


def head_detail(head: HeadRecord, versions: Sequence[HeadRecord], promotions: Sequence[Promotion]) -> HeadDetail:
    """Shows a head version with its siblings, newest first, and the history of its name."""
    siblings = [
        HeadVersion(
            head_id=item.head_id,
            version=item.version,
            state=item.state.value,
            promoted=item.promoted,
            created_at=iso(item.created_at),
        )
        for item in versions
    ]
    past = [
        HeadPromotion(
            head_id=item.head_id, version=item.version, reason=item.reason.value, promoted_at=iso(item.promoted_at)
        )
        for item in promotions
    ]
    return HeadDetail(**_shown(head), versions=siblings, promotions=past)


def _shown(head: HeadRecord) -> dict[str, Any]:
    return {
        "head_id": head.head_id,
        "name": head.name,
        "version": head.version,
        "state": head.state.value,
        "promoted": head.promoted,
        "encoder": head.encoder,
        "level": head.level.value,
        "dim": head.dim,
        "recipe": head.recipe,
        "recipe_digest": head.recipe_digest,
        "task": head.task,
        "training": head.training,
        "head": head.head,
        "protocol": head.protocol,
        "metrics": head.metrics,
        "n_cases": head.n_cases,
        "training_data_deleted": head.training_data_deleted,
        "job_id": head.job_id,
        "created_at": iso(head.created_at),
        "finished_at": iso_or_none(head.finished_at),
    }
