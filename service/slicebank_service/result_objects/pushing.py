"""Sending the objects of a prediction to the PACS that has its study, which says whose they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from slicebank_service.errors import PacsTakesNothing
from slicebank_service.result_objects.instance import as_file
from slicebank_service.result_objects.patient import PatientStudy, of_dicom_json
from slicebank_store.errors import PacsRefused, StudyNotFound
from slicebank_store.pacs.dicomweb import DicomWebClient
from slicebank_store.pacs.sources import DicomWebSource, DimseSource


@dataclass(frozen=True, slots=True)
class Pushed:
    """An object that the PACS has taken."""

    sop_class_uid: str
    series_uid: str
    sop_instance_uid: str


def push(
    name: str,
    source: DicomWebSource | DimseSource,
    study_uid: str,
    make: Callable[[PatientStudy], Sequence[Dataset]],
) -> list[Pushed]:
    """Sends objects by STOW-RS. Sent again they are the same objects, with the same UIDs.

    Args:
        name: of the PACS.
        source: the PACS.
        study_uid: study that the objects belong to.
        make: makes them for a patient.

    Raises:
        PacsTakesNothing: it is not named by DICOMweb.
        StudyNotFound: it does not have the study, so that nobody says whose the objects are.
        PacsError: it cannot be asked, or takes not all of them.
    """
    if not isinstance(source, DicomWebSource):
        raise PacsTakesNothing(
            f"PACS {name} is named by DIMSE, and objects are sent by STOW-RS; name its DICOMweb address in the settings"
        )
    with DicomWebClient(name, source) as client:
        found = client.find_study(study_uid)
        if found is None:
            raise StudyNotFound(
                f"PACS {name} does not have the study of this prediction, so nothing says whose the objects are; "
                "send them where the study is"
            )
        objects = make(of_dicom_json(found))
        told = client.store([as_file(made) for made in objects])
    refused = {made.SOPInstanceUID: told.get(made.SOPInstanceUID, "no answer") for made in objects}
    if failed := sorted({reason for reason in refused.values() if reason is not None}):
        raise PacsRefused(f"PACS {name} did not take {len(failed)} of {len(objects)} objects: {', '.join(failed)}.")
    return [Pushed(str(made.SOPClassUID), str(made.SeriesInstanceUID), str(made.SOPInstanceUID)) for made in objects]
