"""Imports: having studies pulled from a PACS that the settings name."""

from __future__ import annotations

from fastapi import APIRouter

from slicebank_service.admission import full_disks_said
from slicebank_service.answers.imports import ImportAnswer, ImportAsked, ImportJob, SourceList, SourceView
from slicebank_service.context import Context, Ctx
from slicebank_service.errors import BadRequest
from slicebank_service.intake.asked import check_case
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import StudyNotFound
from slicebank_store.pacs.asking import Ask
from slicebank_store.pacs.client import QUERY_KEYS, open_client
from slicebank_store.types import JobKind, StudySource

router = APIRouter(tags=["imports"])


@router.get("/sources")
def list_sources(context: Ctx) -> SourceList:
    """Lists the PACS that the settings name."""
    return SourceList(items=[SourceView(name=name, kind=kind) for name, kind in context.sources.kinds().items()])


@router.post("/imports", status_code=202)
def import_studies(context: Ctx, asked: ImportAsked) -> ImportAnswer:
    """Makes a job for each study. A query is run now, and written down nowhere: it may name a patient.

    404 where the PACS has no study that the query means, 502 or 503 where it cannot be asked. Studies named by their UIDs are looked for
    by their jobs.
    """
    # Here, because intake brings numpy, and a service should answer before its first upload.
    from slicebank_service.intake.take_in import intake_request
    from slicebank_store.intake.arrivals import import_params

    context.sources.get(asked.source)
    if asked.group is not None:
        check_case(context, asked.group, asked.case)
    context.admission.check_upload(None)
    request = intake_request(
        context.registry.get(asked.encoder),
        embed=asked.embed,
        retain=asked.retain,
        priority=asked.priority,
        group=asked.group,
        case=asked.case,
    )
    params = import_params(StudySource.PACS, request)
    jobs = []
    for study_uid in _studies(context, asked):
        with full_disks_said():
            job = _create(context, Ask(asked.source, study_uid, asked.select.rules()), asked, params)
        dispatch(context.catalogue, context.queue, JobKind.IMPORT, job.job_id, asked.priority)
        jobs.append(ImportJob(job_id=job.job_id, study_uid=job.study_uid or ""))
    return ImportAnswer(jobs=jobs, n_studies=len(jobs))


def _studies(context: Context, asked: ImportAsked) -> list[str]:
    """StudyInstanceUIDs as the PACS knows them.

    Raises:
        BadRequest: the query has a key that studies cannot be asked for by.
        StudyNotFound: it means none.
        PacsError: the PACS cannot tell.
    """
    if asked.query is None:
        return list(dict.fromkeys(asked.study_uids or []))
    if not QUERY_KEYS.issuperset(asked.query):
        raise BadRequest(f"studies can be asked for by {', '.join(sorted(QUERY_KEYS))}, and by nothing else")
    with open_client(asked.source, context.sources.get(asked.source)) as client:
        found = client.find_studies(asked.query, asked.limit)
    if not found:
        raise StudyNotFound("The PACS has no study that the query means.")
    return found


def _create(context: Context, ask: Ask, asked: ImportAsked, params: dict[str, object]) -> JobRecord:
    upload = context.staging.new()
    try:
        ask.write(upload.folder)
        job = context.catalogue.jobs.create(
            NewJob(
                project=context.project,
                kind=JobKind.IMPORT,
                priority=asked.priority,
                study_uid=context.pseudonyms.uid(ask.study_uid),
                params=params,
                staging=upload.upload_id,
            )
        )
        if asked.group is not None:
            context.catalogue.groups.join(context.project, asked.group, asked.case, [job.job_id])
    finally:
        # Without a job the sweep of staging finds that nobody needs it.
        context.staging.settle(upload.upload_id)
    return job
