"""Whether the service lives and whether it can work; state only, so no key is asked for."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from slicebank_service.context import Ctx
from slicebank_store.errors import StoreError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """What the process needs, and whether it is there."""

    status: str
    catalogue: bool
    notifications: bool


@router.get("/health")
async def health() -> Health:
    """Says that the process answers."""
    return Health(status="ok")


@router.get("/ready", responses={503: {"model": Readiness}})
def ready(context: Ctx, response: Response) -> Readiness:
    """Says whether the catalogue answers and the broker tells of job changes; 503 without either."""
    try:
        context.catalogue.ping()
        catalogue = True
    except (StoreError, SQLAlchemyError):
        catalogue = False
    notifications = context.hub.connected
    there = catalogue and notifications
    if not there:
        response.status_code = 503
    return Readiness(status="ready" if there else "not ready", catalogue=catalogue, notifications=notifications)
