"""What every route works with: the collaborators that the application was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Path, Query, Request

from slicebank_models.registry import EncoderRegistry
from slicebank_service.admission import Admission
from slicebank_service.errors import AdminsOnly
from slicebank_service.hub import NotificationHub
from slicebank_service.job_looks import JobLooks
from slicebank_service.metrics import ServiceMetrics
from slicebank_service.pulse import Pulse
from slicebank_service.settings import ServiceSettings
from slicebank_service.standing import Standing
from slicebank_store.blobs import BlobStore
from slicebank_store.catalogue import Catalogue
from slicebank_store.intake import Staging
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.intake.limits import UploadLimits
from slicebank_store.pacs.sources import Sources
from slicebank_store.pseudonyms import Pseudonyms
from slicebank_store.questions import Asker
from slicebank_store.queue import TaskQueue
from slicebank_store.workers import WorkerStatus

# DESIGN: ids of any kind. Rust's regex, which pydantic uses, takes `$` as the very end.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
# Encoders, those of bags made elsewhere too: `external:NAME`, which no card can be called.
EXTERNAL_PATTERN = r"^external:[A-Za-z0-9][A-Za-z0-9._-]{0,117}$"
ENCODER_PATTERN = r"^(external:[A-Za-z0-9][A-Za-z0-9._-]{0,117}|[A-Za-z0-9][A-Za-z0-9._-]{0,127})$"

# What the living workers last said; raises QueueUnavailable while the broker is away.
LivingWorkers = Callable[[], list[WorkerStatus]]

Identifier = Annotated[str, Path(pattern=ID_PATTERN)]


@dataclass(frozen=True, slots=True)
class Context:
    """The collaborators of one application.

    Attributes:
        living_workers: reads the worker board.
        admission: whether new work may come in.
        metrics: what is counted.
        standing: where queued jobs stand.
        asker: puts questions straight to a predict worker.
        looks: jobs, for requests that run on the event loop.
        blob_pulse: whether the blob store answers.
        pseudonyms: what patients and studies are called.
        limits: of one upload.
        arrivals: gathers studies that come file by file.
        sources: the PACS that imports may name.
        intake_limiter: bounds the uploads whose files are read side by side.
    """

    settings: ServiceSettings
    catalogue: Catalogue
    blobs: BlobStore
    staging: Staging
    queue: TaskQueue
    registry: EncoderRegistry
    pseudonyms: Pseudonyms
    limits: UploadLimits
    arrivals: Arrivals
    sources: Sources
    hub: NotificationHub
    living_workers: LivingWorkers
    admission: Admission
    metrics: ServiceMetrics
    standing: Standing
    asker: Asker
    looks: JobLooks
    blob_pulse: Pulse
    intake_limiter: anyio.CapacityLimiter

    @property
    def project(self) -> str:
        """The project that the request's key opens."""
        return self.settings.project


async def _context(request: Request) -> Context:
    # A coroutine, because the framework runs plain functions on a thread, and every request would pay for the hop.
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]


async def _admin(request: Request) -> None:
    if not request.state.admin:
        raise AdminsOnly(
            "this needs the administrators' key (SLICEBANK_ADMIN_KEY of the service), and the request carries the project's"
        )


Admin = Annotated[None, Depends(_admin)]

# UIDs of requests, as the catalogue calls them: a client may use its own, or those that answers show.
_AskedUid = Annotated[str | None, Query(pattern=ID_PATTERN)]


async def _series_uid(context: Ctx, series_uid: Identifier) -> str:
    return context.pseudonyms.uid_asked(series_uid)


async def _asked_series_uid(context: Ctx, series_uid: _AskedUid = None) -> str | None:
    return None if series_uid is None else context.pseudonyms.uid_asked(series_uid)


async def _asked_study_uid(context: Ctx, study_uid: _AskedUid = None) -> str | None:
    return None if study_uid is None else context.pseudonyms.uid_asked(study_uid)


SeriesUid = Annotated[str, Depends(_series_uid)]
AskedSeriesUid = Annotated[str | None, Depends(_asked_series_uid)]
AskedStudyUid = Annotated[str | None, Depends(_asked_study_uid)]
