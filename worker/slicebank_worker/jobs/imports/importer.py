"""Import jobs of whole studies: gather their files, judge them, take them in."""

from __future__ import annotations

from slicebank_store.catalogue.records import JobRecord
from slicebank_store.errors import PacsError
from slicebank_store.pacs.sources import Sources
from slicebank_store.types import JobKind, StudySource
from slicebank_worker.errors import PacsFailed
from slicebank_worker.jobs.imports.arrival import gather_arrival
from slicebank_worker.jobs.imports.pulling import pull_study
from slicebank_worker.jobs.imports.taking_in import take_study_in
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

_SOURCES = frozenset(source.value for source in StudySource)


def takes_study_in(job: JobRecord) -> bool:
    """Whether a job takes a study in; other imports keep the pixels of a series that an upload brought."""
    return job.kind is JobKind.IMPORT and job.params.get("source") in _SOURCES


class Importer:
    """Runs the import jobs of studies. Any thread may call it."""

    def __init__(self, runtime: Runtime, sources: Sources) -> None:
        """Runs nothing yet.

        Args:
            runtime: the process's collaborators.
            sources: the PACS that may be asked.
        """
        self._runtime = runtime
        self._sources = sources

    def run(self, hold: Hold) -> bool:
        """Runs one job and commits what it found under its lease.

        Killed anywhere and run again, it names the same series and jobs: files are removed only when its end is written down.
        """
        if StudySource(hold.lease.job.params["source"]) is StudySource.ARRIVAL:
            return take_study_in(self._runtime, hold, gather_arrival(self._runtime, hold))
        try:
            return pull_study(self._runtime, self._sources, hold)
        except PacsError as error:
            raise PacsFailed(str(error), error.code, retryable=error.retryable) from error
