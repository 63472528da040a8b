"""The instances of one association, from the wire into the folders of their studies."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.headers import FileHeader, read_file_header
from slicebank_service.admission import Admission, full_disks_said
from slicebank_service.dicom_network.messages import Command
from slicebank_service.dicom_network.part10 import file_head
from slicebank_service.dicom_network.statuses import MISMATCH, TAKEN, Answer, of_verdict, out_of_resources
from slicebank_service.errors import BodyTooLarge, StorageFull, TooBusy
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.errors import CatalogueUnavailable, UploadMissing
from slicebank_store.identity import new_id
from slicebank_store.intake import Staging, Upload
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.intake.limits import UploadLimits
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.pseudonyms import Pseudonyms

log = structlog.get_logger()

# So many bytes may be written between two looks at the disk.
_LOOK_EVERY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What receptions of all associations share.

    Attributes:
        request: what is asked of every study.
        max_instance_bytes: of one instance.
        renew_s: how long instances join a study before its job is looked for, and put off, again.
    """

    staging: Staging
    arrivals: Arrivals
    admission: Admission
    pseudonyms: Pseudonyms
    limits: UploadLimits
    request: IntakeRequest
    max_instance_bytes: int
    renew_s: float


@dataclass(frozen=True, slots=True)
class _Arriving:
    """A study's job, and when it was last put off (monotonic seconds)."""

    job: JobRecord
    added_at: float


class Incoming:
    """One instance while it comes. What cannot be kept is read and dropped, so that the association goes on."""

    def __init__(self, path: Path, head: bytes, admission: Admission, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self.refusal: Answer | None = None
        self._admission = admission
        self._max_bytes = max_bytes
        self._looked_at = 0
        self._file: BinaryIO | None = None
        try:
            with full_disks_said():
                admission.check_disks()
                # Unbuffered: blocks come as large as they are written.
                self._file = path.open("xb", buffering=0)
                self._write_all(memoryview(head))
        except StorageFull as error:
            self._refuse(out_of_resources(error.code, error.detail))

    def write(self, block: memoryview) -> None:
        """Takes the next bytes of the data set."""
        self.size += len(block)
        if self._file is None:
            return
        if self.size > self._max_bytes:
            sentence = f"the instance is larger than the {self._max_bytes} bytes that are taken"
            self._refuse(out_of_resources(BodyTooLarge.code, sentence))
            return
        try:
            with full_disks_said():
                if self.size - self._looked_at >= _LOOK_EVERY_BYTES:
                    self._looked_at = self.size
                    self._admission.check_disks()
                self._write_all(block)
        except StorageFull as error:
            self._refuse(out_of_resources(error.code, error.detail))

    def close(self) -> None:
        """Ends the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_all(self, block: memoryview) -> None:
        while block and self._file is not None:
            block = block[self._file.write(block) :]

    def _refuse(self, answer: Answer) -> None:
        self.refusal = answer
        self.close()
        self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Reception:
    """Takes the instances of one association. One thread uses it."""

    shared: Collaborators
    _upload: Upload | None = None
    _ordinal: int = 0
    _without_study: str = field(default_factory=lambda: f"2.25.{int(new_id(), 16)}")
    _studies: dict[str, _Arriving] = field(default_factory=dict)

    def begin(self, command: Command, transfer_syntax: str) -> Incoming:
        """Opens the file of an instance.

        Args:
            command: the C-STORE request.
            transfer_syntax: UID of the presentation context's.

        Raises:
            OSError: the folder of staging cannot be written, for another reason than want of room.
        """
        if self._upload is None:
            self._upload = self.shared.staging.new()
        self._ordinal += 1
        head = file_head(
            sop_class=command.sop_class, sop_instance=command.sop_instance, transfer_syntax=transfer_syntax
        )
        path = self._upload.folder / f"{self._ordinal:06d}"
        return Incoming(path, head, self.shared.admission, self.shared.max_instance_bytes)

    def finish(self, incoming: Incoming, command: Command) -> Answer:
        """Judges an instance that has come and moves it to its study; after `TAKEN` no crash loses it."""
        incoming.close()
        if incoming.refusal is not None:
            return incoming.refusal
        try:
            return self._take(incoming.path, command)
        except ImagingError as error:
            return of_verdict(error)
        except (StorageFull, TooBusy) as error:
            return out_of_resources(error.code, error.detail)
        except (CatalogueUnavailable, UploadMissing) as error:
            return out_of_resources(error.code, str(error))
        finally:
            incoming.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes what is left of instances that were not taken."""
        if self._upload is not None:
            self.shared.staging.settle(self._upload.upload_id)
            self.shared.staging.remove(self._upload.upload_id)
            self._upload = None

    def _take(self, path: Path, command: Command) -> Answer:
        shared = self.shared
        header = read_file_header(
            path, file=path.name, name=path.name, options=shared.request.options, limits=shared.limits.intake
        )
        if _contradicts(header, command):
            return MISMATCH
        # Files without a StudyInstanceUID that come together belong together as well as anybody can tell.
        study_uid = shared.pseudonyms.uid(header.study_uid or self._without_study)
        with full_disks_said():
            self._add(study_uid, path)
        return TAKEN

    def _add(self, study_uid: str, path: Path) -> None:
        arrivals, known = self.shared.arrivals, self._studies.get(study_uid)
        now = time.monotonic()
        if known is not None and now - known.added_at < self.shared.renew_s and arrivals.join(known.job, path):
            return
        if known is None:
            # Asked once a study: half a study is worse than a queue that is longer by one.
            self.shared.admission.check_upload(None)
        job = arrivals.add(study_uid, [path], self.shared.request)
        if known is None or known.job.job_id != job.job_id:
            log.info("study_arriving", study_uid=study_uid, job_id=job.job_id)
        self._studies[study_uid] = _Arriving(job, now)


def _contradicts(header: FileHeader, command: Command) -> bool:
    """Whether the data set is not of the class or not the instance that the request names."""
    if header.sop_class_uid != command.sop_class:
        return True
    named = {frame.sop_instance_uid for frame in header.frames}
    return not header.sop_uid_derived and command.sop_instance not in named
