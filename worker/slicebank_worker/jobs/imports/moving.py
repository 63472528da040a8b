"""Studies that a PACS sends to the listener because a job asked for them (C-MOVE)."""

from __future__ import annotations

from functools import partial
from typing import cast

from slicebank_store.catalogue.records import JobRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import PacsRefused
from slicebank_store.intake.arrivals import import_params, import_request
from slicebank_store.pacs.asking import Ask
from slicebank_store.pacs.client import PacsClient
from slicebank_store.types import JSON, JobKind, StudySource
from slicebank_worker.jobs.imports.choosing import Choice
from slicebank_worker.jobs.imports.taking_in import pseudonyms_of
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


def move_study(runtime: Runtime, hold: Hold, client: PacsClient, ask: Ask, choice: Choice) -> bool:
    """Has the PACS send the chosen series to the listener, and the job that gathers them there take them in at once.

    Returns:
        False where the lease was lost.

    Raises:
        PacsError: the PACS does not send, or what it sends does not come to the listener of this catalogue.
        Interrupted: the job may not go on.
    """
    # Here, because pynetdicom takes half a second to load.
    from slicebank_store.pacs.dimse import DimseClient

    mover, job = cast(DimseClient, client), hold.lease.job
    pseudonyms = pseudonyms_of(runtime, job.project)
    sent = 0
    with hold.stage("pull_s"):
        for number, facts in enumerate(choice.series):
            hold.progress(number, len(choice.series), "series")
            hold.check()
            sent += mover.move_series(ask.study_uid, facts.series_uid, hold.check)
    request = import_request(job.params)
    study_uid = pseudonyms.uid(ask.study_uid)
    params = import_params(StudySource.ARRIVAL, request)
    arrival = runtime.catalogue.arriving.hurry(job.project, study_uid, params) or _begun(runtime, job, study_uid)
    if arrival is None:
        raise PacsRefused(
            f"PACS {ask.source} says that it sent {sent} instances, and none of them came to the listener: see where its "
            "move destination leads, and what the listener's log says."
        )
    dispatch(runtime.catalogue, runtime.queue, JobKind.IMPORT, arrival.job_id, request.priority)
    if request.group is not None:
        runtime.catalogue.groups.join(job.project, request.group, request.case, [arrival.job_id])
    result: JSON = {
        "source": ask.source,
        "arrival_job_id": arrival.job_id,
        "n_sent": sent,
        "left_out": [{"series_uid": pseudonyms.uid(uid), "rule": rule} for uid, rule in choice.left_out.items()],
    }
    hold.progress(len(choice.series), len(choice.series), "series")
    hold.report()
    return patiently(hold, partial(runtime.catalogue.jobs.succeed, hold.lease, result, stages=hold.stages))


def _begun(runtime: Runtime, job: JobRecord, study_uid: str) -> JobRecord | None:
    """A job that took the study's files in while the PACS was still sending: it paused for longer than the quiet time."""
    since = job.started_at or job.created_at
    for other in runtime.catalogue.jobs.list(job.project, study_uid=study_uid, kind=JobKind.IMPORT).items:
        if other.params.get("source") == StudySource.ARRIVAL.value and other.created_at >= since:
            return other
    return None
