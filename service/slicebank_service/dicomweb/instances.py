"""What is said of one instance that was sent: taken, or refused and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slicebank_imaging import tags
from slicebank_imaging.classification import sop_class
from slicebank_imaging.elements import open_dicom
from slicebank_imaging.errors import ImagingError, NotDicom
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.uids import is_usable_uid
from slicebank_imaging.verdicts import DATA_SET_DOES_NOT_MATCH_SOP_CLASS, PROCESSING_FAILURE, VERDICTS

STUDY_MISMATCH = "study_mismatch"
"""Code of an instance that belongs to another study than the one that the request names."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A SOP instance as its sender calls it; both are empty where the file says nothing usable.

    Attributes:
        sop_class_uid: SOPClassUID.
        sop_instance_uid: SOPInstanceUID.
    """

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """An instance that can be used.

    Attributes:
        path: its file.
        study_uid: the sender's StudyInstanceUID; empty where the file has none.
    """

    instance: Instance
    path: Path
    study_uid: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that was not taken.

    Attributes:
        code: as over REST.
        failure_reason: Failure Reason (0008,1197).
        tag: at fault, eight hex digits; None where no tag is.
    """

    instance: Instance
    code: str
    failure_reason: int
    tag: str | None = None


def judge(path: Path, *, of_study: Callable[[str], bool], limits: IntakeLimits) -> Accepted | Refused:
    """Judges one received file.

    Args:
        path: the file.
        of_study: whether a StudyInstanceUID is that of the study that the request names.
        limits: how large a file may be.
    """
    try:
        header = read_file_header(path, file=path.name, name="", options=ImportOptions(), limits=limits)
        if header.transfer_syntax.startswith("nifti"):
            raise NotDicom("this is a NIfTI volume; only DICOM comes by DICOMweb")
    except ImagingError as error:
        reason = VERDICTS[error.code].failure_reason if error.code in VERDICTS else PROCESSING_FAILURE
        return Refused(_named(path), error.code, reason, _digits(error.tag))
    instance = Instance(header.sop_class_uid, header.frames[0].sop_instance_uid)
    if not of_study(header.study_uid):
        return Refused(instance, STUDY_MISMATCH, DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"{tags.STUDY_INSTANCE_UID:08X}")
    return Accepted(instance, path, header.study_uid)


def _named(path: Path) -> Instance:
    """The UIDs of a file that was refused, as far as it can be read."""
    try:
        with open_dicom(path) as dicom:
            sop_instance = dicom.data.text(tags.SOP_INSTANCE_UID) or dicom.meta.text(
                tags.MEDIA_STORAGE_SOP_INSTANCE_UID
            )
            found = (sop_class(dicom.data, dicom.meta), sop_instance)
    except ImagingError:
        return Instance("", "")
    return Instance(*(uid if is_usable_uid(uid) else "" for uid in found))


def _digits(tag: str | None) -> str | None:
    """`(0028,1053) RescaleSlope` as `00281053`."""
    return None if tag is None else tag[1:5] + tag[6:10]
