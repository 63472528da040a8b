"""Results of searches as DICOM JSON: what is held, and nothing that is not."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from slicebank_service.dicomweb.dataset import DataSet, element
from slicebank_store.catalogue.qido import FoundInstance, FoundSeries, FoundStudy

_KEYWORDS = MappingProxyType(
    {
        "00080018": "SOPInstanceUID",
        "00080056": "InstanceAvailability",
        "00080060": "Modality",
        "00080061": "ModalitiesInStudy",
        "00100020": "PatientID",
        "00180015": "BodyPartExamined",
        "00180050": "SliceThickness",
        "0020000D": "StudyInstanceUID",
        "0020000E": "SeriesInstanceUID",
        "00200013": "InstanceNumber",
        "00201041": "SliceLocation",
        "00201206": "NumberOfStudyRelatedSeries",
        "00201208": "NumberOfStudyRelatedInstances",
        "00201209": "NumberOfSeriesRelatedInstances",
        "00280010": "Rows",
        "00280011": "Columns",
    }
)
FIELDS = frozenset(_KEYWORDS) | frozenset(_KEYWORDS.values())
"""Tags and keywords of all that is answered."""

# PS3.3 C.4.23.1.1: what was sent here cannot be fetched from here.
_AVAILABILITY = element("CS", "UNAVAILABLE")
_CT = element("CS", "CT")


def of_study(study: FoundStudy) -> DataSet:
    """A study (PS3.18 table 10.6.3-3)."""
    return {
        "00080056": _AVAILABILITY,
        "00080061": _CT,
        "00100020": element("LO", study.patient),
        "0020000D": element("UI", study.study_uid),
        "00201206": element("IS", len(study.series)),
        "00201208": element("IS", sum(series.n_instances for series in study.series)),
    }


def of_series(series: FoundSeries) -> DataSet:
    """A series (PS3.18 table 10.6.3-4)."""
    return {
        "00080056": _AVAILABILITY,
        "00080060": _CT,
        "00100020": element("LO", series.patient),
        **_body_part(series.body_part),
        "0020000D": element("UI", series.study_uid),
        "0020000E": element("UI", series.series_uid),
        "00201209": element("IS", series.n_instances),
    }


def of_instance(instance: FoundInstance) -> DataSet:
    """An instance (PS3.18 table 10.6.3-5); places and sizes in mm."""
    optional = {
        "00180050": ("DS", instance.slice_thickness_mm),
        "00200013": ("IS", instance.instance_number),
        "00201041": ("DS", instance.slice_location_mm),
    }
    return {
        "00080018": element("UI", instance.sop_instance_uid),
        "00080056": _AVAILABILITY,
        "00080060": _CT,
        "00100020": element("LO", instance.patient),
        **_body_part(instance.body_part),
        "0020000D": element("UI", instance.study_uid),
        "0020000E": element("UI", instance.series_uid),
        **{tag: element(vr, value) for tag, (vr, value) in optional.items() if value is not None},
        "00280010": element("US", instance.rows),
        "00280011": element("US", instance.columns),
    }


def warning_header(warnings: Sequence[str]) -> dict[str, str]:
    """The Warning header that the standard asks for (PS3.18 section 8.3.4)."""
    told = list(dict.fromkeys(warnings))[:10]
    return {"Warning": ", ".join(f'299 slicebank "{text}"' for text in told)} if told else {}


def _body_part(term: str) -> DataSet:
    return {"00180015": element("CS", term)} if term else {}
