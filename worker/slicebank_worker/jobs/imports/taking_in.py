"""From the gathered files of a study to its series and their jobs, and the word that the import is done."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from slicebank_imaging.errors import TooManyFiles
from slicebank_imaging.grouping import SeriesVerdict
from slicebank_imaging.tags import STUDY_INSTANCE_UID, label
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownJob, UploadMissing
from slicebank_store.identity import ProjectKeys
from slicebank_store.intake.arrivals import import_request
from slicebank_store.intake.limits import upload_limits
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.intake.sorting import Sorted, judge_in_place
from slicebank_store.intake.study_intake import Intake, StudyIntake
from slicebank_store.intake.verdicts import Rejection
from slicebank_store.pseudonyms import Pseudonyms, open_pseudonyms
from slicebank_store.types import JSON, JobKind
from slicebank_worker.errors import NothingUsable
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

# A study may hold thousands of files that are no CT, and a result is read as a whole.
_MOST_LISTED = 1000
_OTHER_STUDY = "the PACS sent an instance of another study than it was asked for; see what is wrong with its index"


def pseudonyms_of(runtime: Runtime, project: str) -> Pseudonyms:
    """What a project calls patients and studies."""
    keys = ProjectKeys(runtime.settings.resolved_keys_dir)
    return open_pseudonyms(runtime.catalogue.projects, keys, project)


def take_study_in(
    runtime: Runtime,
    hold: Hold,
    files: Sequence[Path],
    *,
    request: IntakeRequest | None = None,
    study_uid: str | None = None,
    extra: JSON | None = None,
) -> bool:
    """Judges files, makes series and jobs of them, and commits what came of it under the lease.

    Args:
        runtime: the process's collaborators.
        hold: an import job, whose upload holds the files.
        files: below the upload's folder.
        request: what is asked of the study; by default what the job's row says.
        study_uid: the only study whose files are taken; None takes what came.
        extra: further members of the job's result.

    Returns:
        False where the lease was lost.

    Raises:
        NothingUsable: every file was refused.
        Interrupted: the job may not go on.
    """
    job = hold.lease.job
    upload_id = job.staging or ""
    wanted = import_request(job.params) if request is None else request
    limits = upload_limits(runtime.settings).intake
    folder = runtime.staging.path(upload_id)
    with hold.stage("read_s"):
        most = runtime.settings.max_upload_files
        check = _counter(hold, len(files))
        found = judge_in_place(files[:most], folder, wanted.options, limits=limits, check=check)
    _refuse_beyond(found, [path.relative_to(folder).as_posix() for path in files[most:]], most)
    if study_uid is not None:
        _refuse_other_studies(found, study_uid)
    hold.progress(len(files), len(files), "files")
    with hold.stage("take_in_s"):
        intake = StudyIntake(runtime.catalogue, job.project, pseudonyms_of(runtime, job.project), limits).take_in(
            upload_id, found, wanted
        )
    result = _result(intake) | (extra or {})
    if not intake.taken:
        with contextlib.suppress(UploadMissing):
            runtime.staging.discard(upload_id, keep=())
        raise NothingUsable(_reasons(intake, len(files)), result)
    for item in intake.created:
        kind = JobKind.IMPORT if wanted.recipe is None else JobKind.EMBED
        dispatch(runtime.catalogue, runtime.queue, kind, item.submitted.job_id, wanted.priority)
    hold.report()
    succeed = partial(runtime.catalogue.jobs.succeed, hold.lease, result, stages=hold.stages)
    committed = patiently(hold, succeed)
    if committed:
        # Not before: whoever has to run this job again must find every file, those that are refused or known too.
        _discard(runtime, job.project, upload_id, intake)
    return committed


def _refuse_beyond(found: Sorted, places: Sequence[str], most: int) -> None:
    """Refuses files beyond the limit of one upload unread: a study may arrive for an hour, and every header takes memory."""
    detail = f"the study has more than the {most} files that are taken at once; send the rest when this job has ended"
    found.names |= {place: place for place in places}
    found.rejected += [Rejection(place, place, TooManyFiles.code, detail) for place in places]


def _refuse_other_studies(found: Sorted, study_uid: str) -> None:
    """Refuses files of studies that nobody asked for, which may be another patient's; a file that names no study passes."""
    others = [header for header in found.headers if header.study_uid not in ("", study_uid)]
    found.rejected += [
        Rejection(found.names[header.file], header.file, "study_mismatch", _OTHER_STUDY, label(STUDY_INSTANCE_UID))
        for header in others
    ]
    refused = {header.file for header in others}
    found.headers = [header for header in found.headers if header.file not in refused]


def _counter(hold: Hold, total: int) -> Callable[[], None]:
    done = 0

    def check() -> None:
        nonlocal done
        hold.check()
        hold.progress(done, total, "files")
        done += 1

    return check


def _discard(runtime: Runtime, project: str, upload_id: str, intake: Intake) -> None:
    """Removes the files that no job needs: neither one made now nor one that an earlier run of this job made."""
    needed = set(intake.needed)
    for item in intake.taken:
        job = runtime.catalogue.jobs.get(project, item.submitted.job_id)
        if job is not None and job.staging == upload_id:
            with contextlib.suppress(UnknownJob):  # deleted meanwhile, with its series
                needed.update(ref["file"] for ref in runtime.catalogue.jobs.manifest(job.job_id)["slices"])
    # The jobs may have ended by now, and taken the upload with them.
    with contextlib.suppress(UploadMissing):
        runtime.staging.discard(upload_id, keep=needed)


def _result(intake: Intake) -> JSON:
    return {
        "series": [item.as_stored() for item in intake.taken],
        "n_rejected": len(intake.rejected),
        "rejected": [item.as_stored() for item in intake.rejected[:_MOST_LISTED]],
        "refused_series": [_refused(item) for item in intake.refused_series],
    }


def _refused(verdict: SeriesVerdict) -> JSON:
    return {
        "series_uid": verdict.series_uid,
        "code": verdict.code,
        "detail": verdict.detail,
        "tag": verdict.tag,
        "n_files": verdict.n_files,
    }


def _reasons(intake: Intake, n_files: int) -> str:
    counts = Counter(item.code for item in intake.rejected)
    listed = ", ".join(f"{code} {count}" for code, count in counts.most_common())
    return f"none of the {n_files} files of the study can be used ({listed or 'nothing arrived'}); `result` says why, file by file"
