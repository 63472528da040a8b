"""Whether the service lives and whether it can work; state only, so no key is asked for."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from slicebank_service.context import Ctx
from slicebank_store.errors import CatalogueError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """What the process needs, and whether it is there."""

    status: str
    catalogue: bool
    notifications: bool
    blobs: bool


@router.get("/health")
async def health() -> Health:
    """Says that the process answers."""
    return Health(status="ok")


@router.get("/ready", responses={503: {"model": Readiness}})
def ready(context: Ctx, response: Response) -> Readiness:
    """Says which parts are there: the catalogue, the broker that tells of job changes, and the blobs; 503 without one of the first two.

    Without blobs uploads are still taken in, and every other process of the service would be as unready: taking this one out of a load
    balancer would turn studies away for nothing.
    """
    try:
        context.catalogue.ping()
        catalogue = True
    except CatalogueError:
        catalogue = False
    notifications = context.hub.connected
    blobs = context.blob_pulse.beats()
    there = catalogue and notifications
    if not there:
        response.status_code = 503
    status = "ready" if there else "not ready"
    return Readiness(status=status, catalogue=catalogue, notifications=notifications, blobs=blobs)
