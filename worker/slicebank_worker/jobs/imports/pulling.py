"""Studies pulled from a PACS: series by series, and on from the first one that is missing where a run before was cut off."""

from __future__ import annotations

import time

import structlog

from slicebank_store.catalogue.jobs.transitions import MAX_ATTEMPTS
from slicebank_store.errors import PacsError, PacsUnavailable, UploadMissing
from slicebank_store.pacs.asking import Ask
from slicebank_store.pacs.basket import Basket, all_files
from slicebank_store.pacs.client import PacsClient, open_client
from slicebank_store.pacs.selecting import SeriesFacts
from slicebank_store.pacs.sources import DimseSource, Sources
from slicebank_store.types import JSON
from slicebank_worker.errors import StagingMissing
from slicebank_worker.jobs.imports.choosing import Choice, choose, judge_pulled
from slicebank_worker.jobs.imports.moving import move_study
from slicebank_worker.jobs.imports.taking_in import pseudonyms_of, take_study_in
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

log = structlog.get_logger()

# Seconds before a series is asked for again: connections break, and a PACS that restarts takes longer than the job's own attempts wait.
_PAUSES_S = (1.0, 4.0)
_GLANCE_S = 0.2


def pull_study(runtime: Runtime, sources: Sources, hold: Hold) -> bool:
    """Pulls the study of an import job and takes it in; or has the PACS send it to the listener.

    Returns:
        False where the lease was lost.

    Raises:
        PacsError: the PACS gave nothing, or not all and may be asked again.
        StagingMissing: what was to be asked is gone.
        NothingUsable: every file was refused.
        Interrupted: the job may not go on.
    """
    job = hold.lease.job
    try:
        folder = runtime.staging.path(job.staging or "")
        ask = Ask.read(folder)
    except UploadMissing as error:
        raise StagingMissing(str(error)) from error
    source = sources.get(ask.source)
    moves = isinstance(source, DimseSource) and source.retrieve == "c-move"
    pseudonyms = pseudonyms_of(runtime, job.project)
    with open_client(ask.source, source) as client:
        choice = choose(client, ask.study_uid, ask.rules, decide_now=moves, check=hold.check)
        if moves:
            return move_study(runtime, hold, client, ask, choice)
        basket = Basket(
            folder / "pulled",
            max_bytes=runtime.settings.max_upload_bytes,
            max_files=runtime.settings.max_upload_files,
            check=hold.check,
        )
        # Folders are named as the catalogue names series: their names come into the job's result.
        names = {item.series_uid: pseudonyms.uid(item.series_uid) for item in choice.series}
        with hold.stage("pull_s"):
            failed = _pull(hold, client, ask.study_uid, choice, basket, names)
    judge_pulled(choice, ask.rules, lambda series_uid: basket.files(names[series_uid]))
    extra: JSON = {
        "source": ask.source,
        "pulled": [{"series_uid": names[item.series_uid], "n_files": item.n_images} for item in choice.series],
        "left_out": [{"series_uid": pseudonyms.uid(uid), "rule": rule} for uid, rule in choice.left_out.items()],
        "failed_series": [
            {"series_uid": names[uid], "code": error.code, "detail": str(error)} for uid, error in failed.items()
        ],
    }
    files = all_files(basket, [names[item.series_uid] for item in choice.series])
    return take_study_in(runtime, hold, files, study_uid=ask.study_uid, extra=extra)


def _pull(
    hold: Hold, client: PacsClient, study_uid: str, choice: Choice, basket: Basket, names: dict[str, str]
) -> dict[str, PacsError]:
    """Fetches every chosen series that is not there yet; those that could not be had leave the choice."""
    failed: dict[str, PacsError] = {}
    for number, facts in enumerate(choice.series):
        hold.progress(number, len(choice.series), "series")
        if basket.has(names[facts.series_uid]):
            continue
        try:
            _fetch(hold, client, study_uid, facts, basket, names[facts.series_uid])
        except PacsUnavailable as error:
            # The job is tried again, and then has the series that came; only the last try makes do with them.
            if hold.lease.job.attempts < MAX_ATTEMPTS:
                raise
            failed[facts.series_uid] = error
        except PacsError as error:
            if error.code == "study_too_large":
                raise
            failed[facts.series_uid] = error
    if len(failed) == len(choice.series):
        raise next(iter(failed.values()))
    choice.series = [facts for facts in choice.series if facts.series_uid not in failed]
    return failed


def _fetch(hold: Hold, client: PacsClient, study_uid: str, facts: SeriesFacts, basket: Basket, name: str) -> None:
    for pause in (*_PAUSES_S, None):
        into = basket.open(name)
        try:
            client.fetch_series(study_uid, facts.series_uid, into)
            into.done()
        except PacsUnavailable as error:
            into.abandon()
            if pause is None:
                raise
            log.warning("series_not_pulled", code=error.code, detail=str(error), again_in_s=pause)
            _sleep(hold, pause)
        except BaseException:
            into.abandon()
            raise
        else:
            return


def _sleep(hold: Hold, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        hold.check()
        time.sleep(_GLANCE_S)
