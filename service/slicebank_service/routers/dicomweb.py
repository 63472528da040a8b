"""DICOMweb: STOW-RS and QIDO-RS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from slicebank_imaging.errors import ImagingError
from slicebank_models.errors import ModelsError
from slicebank_service.admission import full_disks_said
from slicebank_service.context import ID_PATTERN, Context, Ctx, Identifier
from slicebank_service.dicomweb.accepting import DICOM_JSON, DICOM_XML, takes_json, takes_xml
from slicebank_service.dicomweb.dataset import DataSet
from slicebank_service.dicomweb.query import Level, Search, parse_search
from slicebank_service.dicomweb.search_answer import FIELDS, of_instance, of_series, of_study, warning_header
from slicebank_service.errors import NothingUsable, NotOffered, ServiceError
from slicebank_service.problems import problem, status_of
from slicebank_store.errors import StoreError
from slicebank_store.types import Priority

if TYPE_CHECKING:
    from slicebank_service.dicomweb.storing import Stored
    from slicebank_store.intake.request import IntakeRequest

log = structlog.get_logger()

router = APIRouter(prefix="/dicomweb", tags=["dicomweb"])

# dicomweb-client sends a refused request again after 429, 503 and 504, and a chunked body is empty by then.
_STORE_STATUS = {429: 507, 503: 500, 504: 500}

_DATASET: dict[int | str, dict[str, Any]] = {
    200: {"description": "All instances are stored.", "content": {DICOM_JSON: {}, DICOM_XML: {}}},
    202: {"description": "Some are, and the others are refused.", "content": {DICOM_JSON: {}, DICOM_XML: {}}},
    409: {"description": "None is.", "content": {DICOM_JSON: {}, DICOM_XML: {}}},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("multipart/related", "application/dicom")
        },
    }
}
_RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Results.",
        "content": {DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}},
    },
    204: {"description": "No result."},
}

Encoder = Annotated[str | None, Query(pattern=ID_PATTERN)]


@router.post("/studies", response_class=Response, responses=_DATASET, openapi_extra=_BODY)
async def store_instances(
    context: Ctx,
    request: Request,
    encoder: Encoder = None,
    priority: Priority = Priority.INTERACTIVE,
    retain: bool | None = None,
) -> Response:
    """Stores instances (STOW-RS): CT goes on to be embedded when its study is quiet, everything else is refused by name."""
    return await _store(context, request, None, encoder, priority, retain)


@router.post("/studies/{study_uid}", response_class=Response, responses=_DATASET, openapi_extra=_BODY)
async def store_instances_of_study(
    context: Ctx,
    request: Request,
    study_uid: Identifier,
    encoder: Encoder = None,
    priority: Priority = Priority.INTERACTIVE,
    retain: bool | None = None,
) -> Response:
    """Stores instances of one study (STOW-RS); those of others are refused."""
    return await _store(context, request, study_uid, encoder, priority, retain)


@router.get("/studies", response_class=Response, responses=_RESULTS)
async def search_studies(context: Ctx, request: Request) -> Response:
    """Searches for studies (QIDO-RS)."""
    return await _search(context, request, Level.STUDY, {})


@router.get("/series", response_class=Response, responses=_RESULTS)
async def search_series(context: Ctx, request: Request) -> Response:
    """Searches for series (QIDO-RS)."""
    return await _search(context, request, Level.SERIES, {})


@router.get("/studies/{study_uid}/series", response_class=Response, responses=_RESULTS)
async def search_series_of_study(context: Ctx, request: Request, study_uid: Identifier) -> Response:
    """Searches for series of a study (QIDO-RS)."""
    return await _search(context, request, Level.SERIES, {"StudyInstanceUID": study_uid})


@router.get("/instances", response_class=Response, responses=_RESULTS)
async def search_instances(context: Ctx, request: Request) -> Response:
    """Searches for instances (QIDO-RS); 413 where too many series would have to be read."""
    return await _search(context, request, Level.INSTANCE, {})


@router.get("/studies/{study_uid}/instances", response_class=Response, responses=_RESULTS)
async def search_instances_of_study(context: Ctx, request: Request, study_uid: Identifier) -> Response:
    """Searches for instances of a study (QIDO-RS)."""
    return await _search(context, request, Level.INSTANCE, {"StudyInstanceUID": study_uid})


@router.get("/studies/{study_uid}/series/{series_uid}/instances", response_class=Response, responses=_RESULTS)
async def search_instances_of_series(
    context: Ctx, request: Request, study_uid: Identifier, series_uid: Identifier
) -> Response:
    """Searches for instances of a series (QIDO-RS)."""
    path = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
    return await _search(context, request, Level.INSTANCE, path)


@router.get("/studies/{rest:path}", response_class=Response, responses={501: {"description": "Not offered."}})
async def retrieve(rest: str) -> Response:
    """Retrieving (WADO-RS) is not offered."""
    raise NotOffered("slicebank keeps no source files, so nothing can be retrieved; ask the PACS that sent the study")


async def _store(
    context: Context,
    request: Request,
    study_uid: str | None,
    encoder: str | None,
    priority: Priority,
    retain: bool | None,
) -> Response:
    # Here and below, because intake brings pydicom and numpy, and a service should answer before its first upload.
    from slicebank_service.dicomweb.store_answer import job_headers, response_dataset, response_xml
    from slicebank_service.dicomweb.storing import Stored
    from slicebank_service.intake.take_in import intake_request

    stored = Stored()
    try:
        with context.metrics.upload():
            card = await anyio.to_thread.run_sync(context.registry.get, encoder or context.settings.intake_encoder)
            wanted = intake_request(
                card, priority=priority, retain=context.settings.intake_retain if retain is None else retain
            )
            length = request.headers.get("content-length", "")
            known = int(length) if length.isascii() and length.isdigit() else None
            await anyio.to_thread.run_sync(context.admission.check_upload, known)
            stored = await _stored(context, request, study_uid, wanted)
            _check_stored(stored)
    except NothingUsable:
        request.state.code = NothingUsable.code  # counted as any refused upload; the answer is that of STOW-RS
    except (ServiceError, StoreError, ModelsError, ImagingError) as error:
        status = status_of(error)
        if status not in _STORE_STATUS:
            raise
        request.state.code = error.code
        headers = error.headers if isinstance(error, ServiceError) else {}
        return problem(request.state.request_id, _STORE_STATUS[status], error.code, str(error), headers=headers)
    dataset = response_dataset(stored)
    accept = request.headers.get("accept", "")
    if takes_xml(accept) and not takes_json(accept):
        return Response(response_xml(dataset), stored.status, job_headers(stored), DICOM_XML)
    return _json(dataset, stored.status, job_headers(stored))


def _check_stored(stored: Stored) -> None:
    if not stored.instances:
        raise NothingUsable("none of the instances can be used; FailedSOPSequence says why, one by one")


async def _stored(context: Context, request: Request, study_uid: str | None, wanted: IntakeRequest) -> Stored:
    """Receives a request and hands over what it holds; whatever happens, nothing of it is left here."""
    from slicebank_service.dicomweb.instances import judge
    from slicebank_service.dicomweb.receiving import receive_instances
    from slicebank_service.dicomweb.storing import same_study, store

    with full_disks_said():
        upload = await anyio.to_thread.run_sync(context.staging.new)
    try:
        with full_disks_said():
            received = await receive_instances(
                request.stream(),
                upload.folder,
                content_type=request.headers.get("content-type", ""),
                content_encoding=request.headers.get("content-encoding", ""),
                max_bytes=context.settings.max_upload_bytes,
                max_files=context.settings.max_upload_files,
                judge=partial(judge, of_study=same_study(context, study_uid), limits=context.limits.intake),
                check_room=context.admission.check_disks,
            )
            stored = await anyio.to_thread.run_sync(
                store, context, upload.upload_id, received.accepted, received.refused, wanted
            )
        log.info(
            "instances_stored",
            stored=len(stored.instances),
            refused=len(stored.refused),
            codes=sorted({item.code for item in stored.refused}),
            jobs=list(stored.jobs.values())[:20],
        )
        return stored
    finally:
        # A client that goes away cancels this task, and its files must go all the same.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_tidy, context, upload.upload_id)


def _tidy(context: Context, upload_id: str) -> None:
    context.staging.settle(upload_id)
    context.staging.remove(upload_id)


async def _search(context: Context, request: Request, level: Level, path: Mapping[str, str]) -> Response:
    if not takes_json(request.headers.get("accept", "")):
        raise HTTPException(406, f"results are given as {DICOM_JSON}")
    search = parse_search(request.query_params.multi_items(), level, context.pseudonyms, path, FIELDS)
    # One more than wanted tells whether there are more.
    found = [] if search.nothing else await anyio.to_thread.run_sync(_find, context, level, search)
    if len(found) > search.limit and search.capped:
        search.warnings.append(
            "The number of results exceeded the maximum supported by the server. Additional results can be requested."
        )
    headers = warning_header(search.warnings)
    if not found[: search.limit]:
        return Response(status_code=204, headers=headers)
    return _json(found[: search.limit], 200, headers)


def _find(context: Context, level: Level, search: Search) -> list[DataSet]:
    qido, project, limit = context.catalogue.qido, context.project, search.limit + 1
    if level is Level.STUDY:
        studies = qido.studies(project, search.matching, limit=limit, offset=search.offset)
        return [of_study(study) for study in studies]
    if level is Level.SERIES:
        return [of_series(item) for item in qido.series(project, search.matching, limit=limit, offset=search.offset)]
    instances = qido.instances(
        project,
        search.matching,
        sop_instance_uids=search.sop_instance_uids,
        limit=limit,
        offset=search.offset,
    )
    return [of_instance(instance) for instance in instances]


def _json(content: DataSet | list[DataSet], status: int, headers: Mapping[str, str]) -> Response:
    # The media type without a charset: clients compare it as a whole.
    return Response(json.dumps(content, separators=(",", ":")), status, headers, DICOM_JSON)
