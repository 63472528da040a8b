"""What every object has: UIDs that follow from its content, the patient, and times that are the prediction's."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

from pydicom.dataset import Dataset

from slicebank_imaging.uids import derived_uid
from slicebank_service import __version__
from slicebank_service.result_objects.answered import Answered
from slicebank_service.result_objects.patient import ATTRIBUTES, PatientStudy


def identity(answered: Answered, patient: PatientStudy, *parts: str) -> tuple[str, str]:
    """UIDs of an object's series and of the object itself: what has another content has other ones, and nothing else does.

    Args:
        answered: the prediction and what it names.
        patient: whose it is.
        *parts: the kind of object, and what else it depends on.
    """
    sources = sorted({image.sop_class_uid for image in answered.images.values()})
    seed = (answered.prediction.prediction_id, str(answered.prediction.created_at), __version__, *parts, *sources)
    seed = (*seed, *patient.digest_parts)
    return derived_uid("slicebank series", *seed), derived_uid("slicebank instance", *seed)


def finish(made: Dataset, answered: Answered, patient: PatientStudy) -> None:
    """Sets patient, study and times of an object."""
    for keyword in ATTRIBUTES:
        # Type 2 where the standard wants it, though nobody may know it; the issuer alone may be left out.
        if keyword != "IssuerOfPatientID" or keyword in patient.values:
            setattr(made, keyword, patient.values.get(keyword, ""))
    # Of this machine's clock on the wall, as the times of the study are of its scanner's: an offset from UTC would count for both.
    now = datetime.fromtimestamp(answered.prediction.created_at, UTC).astimezone()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for kind in ("InstanceCreation", "Series", "Content"):
        setattr(made, f"{kind}Date", date)
        setattr(made, f"{kind}Time", time)
    for equipment in made.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = date + time


def as_file(made: Dataset) -> bytes:
    """The object as a DICOM file (PS3.10)."""
    target = BytesIO()
    made.save_as(target, enforce_file_format=True)
    return target.getvalue()
