"""Studies that arrive file by file, by many requests and associations: gathered until nothing has come for a while."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.errors import CatalogueUnavailable, UploadMissing
from slicebank_store.identity import new_id
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.intake.staging import Staging
from slicebank_store.types import JSON, JobKind, StudySource

# Files join a study by a rename into this folder, until its job renames the folder itself: one of the two comes first, and no file is lost
# or taken twice.
_OPEN = "arriving"
_CLOSED = "arrived"
# Between a worker's word that a study is closed and the rename of its folder lie milliseconds; where the worker died in between, its job
# is taken again before this time is over.
_PATIENCE_S = 5.0
_PAUSE_S = 0.02


class Arrivals:
    """Gathers the files of one project's studies. Any thread and any process may add."""

    def __init__(
        self,
        catalogue: Catalogue,
        staging: Staging,
        project: str,
        *,
        quiet_s: float,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Gathers nothing yet.

        Args:
            catalogue: holds the jobs.
            staging: holds the files.
            project: the project.
            quiet_s: a study is taken in when nothing of it has come for so many seconds.
            patience_s: how long a study's folder is waited for that its worker is just closing.
        """
        self._catalogue = catalogue
        self._staging = staging
        self._project = project
        self._quiet_s = quiet_s
        self._patience_s = patience_s

    def add(self, study_uid: str, files: Sequence[Path], request: IntakeRequest) -> JobRecord:
        """Adds files to a study. Once it returns they are taken in, whatever happens to this process.

        Args:
            study_uid: StudyInstanceUID as the catalogue calls it.
            files: whole files on the disk of staging; they are moved, in this order.
            request: what is asked of a study that has no job yet.

        Returns:
            The job that takes the last of them in.

        Raises:
            UploadMissing: the study's folder cannot be opened; the files that were not moved are where they were.
            CatalogueUnavailable: nobody can say where they belong.
        """
        left = list(files)
        deadline = time.monotonic() + self._patience_s
        while True:
            job = self._expect(study_uid, request)
            folder = self._staging.root / (job.staging or "") / _OPEN
            while left and _moved(left[0], folder):
                left.pop(0)
            if not left:
                return job
            if time.monotonic() > deadline:
                # What it has cannot be added to; unless it ends, every file of the study would put it off again.
                self._catalogue.arriving.hurry(self._project, study_uid)
                raise UploadMissing(f"The files of job {job.job_id} cannot be added to: send the study again.")
            time.sleep(_PAUSE_S)

    def join(self, job: JobRecord, path: Path) -> bool:
        """Adds one more file to a study without asking the catalogue, a twentieth of the time of `add`, and does not put its job off.

        To be used for a moment after `add`, which puts the job off: a job that was cancelled meanwhile takes its files with it.

        Args:
            job: as `add` gave it, for this study.
            path: a whole file on the disk of staging; it is moved.

        Returns:
            False where the job has begun or ended, so that the file is where it was and `add` must find another one.
        """
        return _moved(path, self._staging.root / (job.staging or "") / _OPEN)

    def _expect(self, study_uid: str, request: IntakeRequest) -> JobRecord:
        upload = self._staging.new()
        (upload.folder / _OPEN).mkdir()
        unused = True
        try:
            job = self._catalogue.arriving.expect(
                NewJob(
                    project=self._project,
                    kind=JobKind.IMPORT,
                    priority=request.priority,
                    study_uid=study_uid,
                    params=import_params(StudySource.ARRIVAL, request),
                    staging=upload.upload_id,
                    not_before=time.time() + self._quiet_s,
                    arrival=True,
                ),
                quiet_s=self._quiet_s,
            )
            unused = job.staging != upload.upload_id
            if request.group is not None:
                self._catalogue.groups.join(self._project, request.group, request.case, [job.job_id])
        except CatalogueUnavailable:
            # The connection may have broken while the job was committed, which then needs the folder; the sweep removes it if none does.
            unused = False
            raise
        finally:
            self._staging.settle(upload.upload_id)
            if unused:
                self._staging.remove(upload.upload_id)
        return job


def import_params(source: StudySource, request: IntakeRequest) -> JSON:
    """What an import job is to do; names of patients are left out."""
    return {"source": source.value, "request": request.without_names().as_dict()}


def import_request(params: JSON) -> IntakeRequest:
    """What an import job was asked for."""
    return IntakeRequest.from_dict(params["request"])


def close_arrival(folder: Path) -> list[Path]:
    """Ends the time in which files may join; what has come, in the order in which it came. May be asked again.

    Args:
        folder: of the upload.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder / _OPEN).rename(folder / _CLOSED)
    return sorted(path for path in (folder / _CLOSED).glob("*") if path.is_file())


def _moved(path: Path, folder: Path) -> bool:
    try:
        path.rename(folder / f"{time.time_ns():020d}-{new_id()[:8]}")
    except FileNotFoundError:
        if not path.exists():
            raise
        return False
    return True
