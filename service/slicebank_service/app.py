"""The application factory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from functools import partial

import anyio
import anyio.to_thread
import structlog
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry, ProcessCollector

from slicebank_models.registry import EncoderRegistry
from slicebank_service import __version__, problems
from slicebank_service.admission import Admission
from slicebank_service.context import Context, LivingWorkers
from slicebank_service.hub import NotificationHub, Notifications
from slicebank_service.job_looks import JobLooks, Seen
from slicebank_service.metrics import ServiceMetrics, StoreCollector
from slicebank_service.middleware import BodyLimit, Keys, RequestIds
from slicebank_service.pulse import Pulse, blobs_answer
from slicebank_service.routers import (
    bags,
    checking,
    comparisons,
    dicomweb,
    encoders,
    evaluations,
    exports,
    groups,
    heads,
    health,
    imports,
    jobs,
    metrics,
    on_embedded,
    predictions,
    reports,
    result_objects,
    series,
    uploads,
    workers,
)
from slicebank_service.settings import ServiceSettings
from slicebank_service.standing import Standing
from slicebank_service.uploads.headers import TusHeaders
from slicebank_store.blobs import BlobStore, DirectoryBlobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.doomed import remove_doomed
from slicebank_store.errors import BlobsUnavailable, CatalogueUnavailable
from slicebank_store.identity import ProjectKeys
from slicebank_store.intake import StagedBytes, Staging
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.intake.limits import upload_limits
from slicebank_store.pacs.sources import load_sources
from slicebank_store.pseudonyms import open_pseudonyms
from slicebank_store.questions import Asker
from slicebank_store.queue import TaskQueue

log = structlog.get_logger()

# Says in the OpenAPI document what the middleware asks for.
# Questions that wait for a predict worker's word at once, and how long: more, and longer ones, are jobs.
_QUESTIONS_AT_ONCE, _ANSWER_S = 4, 2.0
_BEARER = HTTPBearer(auto_error=False, description="The API key, or the administrators'.")

# Bodies that are streamed to disk and counted there: methods, and patterns of paths.
_STREAMING = (
    ("POST", "/v1/series"),
    ("POST", "/v1/bags"),
    ("POST", "/v1/uploads"),
    ("PATCH", "/v1/uploads/[^/]+"),
    ("POST", "/dicomweb/studies(/[^/]+)?"),
)


def create_app(
    settings: ServiceSettings,
    *,
    catalogue: Catalogue,
    blobs: BlobStore,
    staging: Staging,
    queue: TaskQueue,
    registry: EncoderRegistry,
    keys: ProjectKeys,
    notifications: Notifications,
    living_workers: LivingWorkers,
    metrics_registry: CollectorRegistry | None = None,
) -> FastAPI:
    """Builds the application of its collaborators; they stay the caller's to close.

    Args:
        settings: limits, key and project; `api_key` must be set.
        catalogue: series, bags, jobs, heads and predictions.
        blobs: bag files.
        staging: where uploads lie until their jobs are done.
        queue: tells workers of jobs.
        registry: encoder cards.
        keys: hash patient ids.
        notifications: opens a subscription to job changes.
        living_workers: reads the worker board.
        metrics_registry: takes the application's metrics; a new one where none is given.

    Raises:
        ValueError: no API key is set.
        BadSources: the settings that name PACS are not usable.
        PolicyFixed: the project was made with other policies than the settings ask for.
    """
    if settings.api_key is None or not settings.api_key.get_secret_value():
        raise ValueError("the service needs an API key; set SLICEBANK_API_KEY")
    hub = NotificationHub(notifications)
    # A registry of this application's own: the library's global one would be shared with everything in the process.
    counted = ServiceMetrics(metrics_registry or CollectorRegistry())
    counted.connections.set_function(lambda: catalogue.connections_in_use)
    staged = StagedBytes(settings.resolved_staging_dir)
    disks = {"staging": settings.resolved_staging_dir}
    if isinstance(blobs, DirectoryBlobs):
        disks["blobs"] = settings.resolved_blobs_dir
    admission = Admission(settings, catalogue, staged, disks)
    counted.registry.register(StoreCollector(catalogue.backlog.depths, staged.total, admission.free_bytes))
    ProcessCollector(registry=counted.registry)
    standing = Standing(catalogue.jobs)
    catalogue.projects.settle(settings.project, uids=settings.uid_policy, patients=settings.patient_policy)

    def look(job_ids: Collection[str]) -> dict[str, Seen]:
        jobs = catalogue.jobs.get_many(settings.project, job_ids)
        places = standing.of(jobs.values())
        return {job_id: Seen(job, places.get(job_id)) for job_id, job in jobs.items()}

    context = Context(
        settings=settings,
        catalogue=catalogue,
        blobs=blobs,
        staging=staging,
        queue=queue,
        registry=registry,
        pseudonyms=open_pseudonyms(catalogue.projects, keys, settings.project),
        limits=upload_limits(settings),
        arrivals=Arrivals(catalogue, staging, settings.project, quiet_s=settings.quiet_seconds),
        sources=load_sources(settings),
        hub=hub,
        living_workers=living_workers,
        admission=admission,
        metrics=counted,
        standing=standing,
        asker=Asker(settings.resolved_broker_url, at_once=_QUESTIONS_AT_ONCE, wait_s=_ANSWER_S),
        looks=JobLooks(look),
        blob_pulse=Pulse(partial(blobs_answer, blobs)),
        intake_limiter=anyio.CapacityLimiter(settings.intake_threads),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.run()), asyncio.create_task(_sweep_staging(context))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            context.asker.close()

    app = FastAPI(
        title="slicebank",
        version=__version__,
        summary="CT studies as banks of per-slice embeddings, and attention-MIL heads that answer from them.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.PROBLEM_RESPONSES,
    )
    app.state.context = context
    problems.install(app)
    # The last one added sees a request first.
    app.add_middleware(BodyLimit, max_bytes=settings.max_json_bytes, streaming=_STREAMING)
    app.add_middleware(TusHeaders)
    api_key = settings.api_key.get_secret_value()
    admin_key = (settings.admin_key.get_secret_value() if settings.admin_key is not None else "") or api_key
    app.add_middleware(Keys, api_key=api_key, admin_key=admin_key)
    app.add_middleware(RequestIds, metrics=counted)
    app.include_router(health.router)
    app.include_router(metrics.router, dependencies=[Security(_BEARER)])
    app.include_router(dicomweb.router, dependencies=[Security(_BEARER)])
    for module in (
        series,
        checking,
        uploads,
        groups,
        imports,
        jobs,
        bags,
        exports,
        encoders,
        heads,
        comparisons,
        evaluations,
        on_embedded,
        predictions,
        reports,
        result_objects,
        workers,
    ):
        app.include_router(module.router, prefix="/v1", dependencies=[Security(_BEARER)])
    return app


async def _sweep_staging(context: Context) -> None:
    """Removes what uploads and deletions left behind, at start-up and from time to time."""
    while True:
        try:
            await anyio.to_thread.run_sync(_sweep_once, context)
        except CatalogueUnavailable as error:
            log.warning("staging_not_swept", detail=str(error))
        except Exception:
            log.exception("staging_sweep_failed")
        await asyncio.sleep(context.settings.staging_sweep_seconds)


def _sweep_once(context: Context) -> None:
    in_use = partial(context.catalogue.jobs.staging_in_use, failed_within_s=context.settings.staging_ttl_seconds)
    removed = context.staging.sweep(in_use, older_than_s=context.settings.staging_orphan_seconds)
    if removed:
        log.info("staging_swept", uploads=len(removed))
    try:
        # Of deletions that found the blob store away, or whose process died before it had removed the blobs.
        gone = remove_doomed(context.catalogue, context.blobs)
    except BlobsUnavailable as error:
        log.warning("blobs_not_swept", detail=str(error))
    else:
        if gone:
            log.info("blobs_swept", blobs=gone)
