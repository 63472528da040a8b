"""Workers: who is at work, on what device, and how busy it is."""

from __future__ import annotations

from fastapi import APIRouter

from slicebank_service.answers.workers import WorkerList, worker_view
from slicebank_service.context import Ctx

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("")
def list_workers(context: Ctx) -> WorkerList:
    """Lists the living workers, by role and name.

    A worker that was killed is shown until its last report expires, 15 s after it was sent.
    """
    return WorkerList(items=[worker_view(status) for status in context.living_workers()])
