"""Two heads on the same cases: is one better?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from slicebank_service.context import ID_PATTERN, Ctx, Identifier
from slicebank_service.routers.heads import ready_head
from slicebank_store.types import JSON

router = APIRouter(prefix="/heads", tags=["heads"])

# A second or two for five thousand cases; more resamplings than that move an interval by less than its last digit.
_RESAMPLES = 1000


class Part(StrEnum):
    """Which predictions are compared."""

    POOLED = "pooled"
    TEST = "test"


class Difference(BaseModel):
    """A figure of two heads."""

    first: float | None
    second: float | None
    difference: float | None = Field(description="First minus second.")
    interval: list[float] | None = Field(description="Of the difference, 95 %.")
    p_value: float | None
    method: str | None = Field(description="delong or paired_bootstrap.")


class LeftOut(BaseModel):
    """Measured cases that one head alone has."""

    first: int
    second: int


class Comparison(BaseModel):
    """Two heads on the cases that both measured."""

    first: str = Field(description="Id of the first version.")
    second: str = Field(description="Id of the second version.")
    part: Part
    n_units: int
    n_patients: int
    left_out: LeftOut
    metrics: dict[str, Difference]
    labels: dict[str, dict[str, Difference]]


@router.get("/{head}/comparison")
def compare(
    context: Ctx,
    head: Identifier,
    other: Annotated[str, Query(pattern=ID_PATTERN, description="Id or name of the second head.")],
    part: Part = Part.POOLED,
) -> Comparison:
    """Compares two heads of one task on the cases that both measured: DeLong's test for AUROC, else a paired bootstrap."""
    # Here, so that the process starts without NumPy.
    from slicebank_models.training.comparison import compare_heads

    versions = [ready_head(context, name) for name in (head, other)]
    reports: list[JSON] = [context.catalogue.heads.report(context.project, each.head_id) or {} for each in versions]
    found = compare_heads(reports[0], reports[1], part=part.value, resamples=_RESAMPLES)
    return Comparison(first=versions[0].head_id, second=versions[1].head_id, **found)
