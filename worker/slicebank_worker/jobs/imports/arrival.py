"""Studies whose files came one by one, by STOW-RS or C-STORE."""

from __future__ import annotations

from pathlib import Path

from slicebank_store.errors import UploadMissing
from slicebank_store.intake.arrivals import close_arrival
from slicebank_worker.errors import LeaseLost, StagingMissing
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


def gather_arrival(runtime: Runtime, hold: Hold) -> list[Path]:
    """Ends the time in which files may join the job's study; the files that came. May be asked again.

    Raises:
        LeaseLost: another worker owns the job.
        StagingMissing: the files are gone.
    """
    job = hold.lease.job
    # In this order: a sender that finds the folder closed must find the job closed too, or it would look for the folder again and again.
    if not runtime.catalogue.arriving.close(hold.lease):
        raise LeaseLost(job.job_id)
    try:
        return close_arrival(runtime.staging.path(job.staging or ""))
    except UploadMissing as error:
        raise StagingMissing(str(error)) from error
