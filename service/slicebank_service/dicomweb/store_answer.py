"""The Store Instances Response Module (DICOM PS3.18 table I.2-1)."""

from __future__ import annotations

from itertools import islice
from types import MappingProxyType
from typing import Any

from slicebank_service.dicomweb.dataset import DataSet, as_xml, element
from slicebank_service.dicomweb.instances import Instance, Refused
from slicebank_service.dicomweb.storing import Stored

RETRIEVE_URL = "00081190"
FAILED_SOP_SEQUENCE = "00081198"
REFERENCED_SOP_SEQUENCE = "00081199"
OTHER_FAILURES_SEQUENCE = "0008119A"
REFERENCED_SOP_CLASS_UID = "00081150"
REFERENCED_SOP_INSTANCE_UID = "00081155"
FAILURE_REASON = "00081197"
# Of the command set, where C-STORE says the same (PS3.7 annex C.4).
OFFENDING_ELEMENT = "00000901"
ERROR_COMMENT = "00000902"

KEYWORDS = MappingProxyType(
    {
        RETRIEVE_URL: "RetrieveURL",
        FAILED_SOP_SEQUENCE: "FailedSOPSequence",
        REFERENCED_SOP_SEQUENCE: "ReferencedSOPSequence",
        OTHER_FAILURES_SEQUENCE: "OtherFailuresSequence",
        REFERENCED_SOP_CLASS_UID: "ReferencedSOPClassUID",
        REFERENCED_SOP_INSTANCE_UID: "ReferencedSOPInstanceUID",
        FAILURE_REASON: "FailureReason",
        OFFENDING_ELEMENT: "OffendingElement",
        ERROR_COMMENT: "ErrorComment",
    }
)

JOB_HEADER = "Slicebank-Job"
# Proxies take 8 kB of headers; who sends more studies at once finds their jobs by their UIDs.
_MOST_JOBS = 20


def response_dataset(stored: Stored) -> DataSet:
    """The response. Retrieve URLs, which must be there, are empty: what was stored cannot be retrieved."""
    dataset: DataSet = {RETRIEVE_URL: element("UR")}
    failed = [item for item in stored.refused if item.instance.sop_instance_uid]
    unnamed = [item for item in stored.refused if not item.instance.sop_instance_uid]
    for tag, items in (
        (REFERENCED_SOP_SEQUENCE, [_reference(item) | {RETRIEVE_URL: element("UR")} for item in stored.instances]),
        (FAILED_SOP_SEQUENCE, [_reference(item.instance) | _failure(item) for item in failed]),
        (OTHER_FAILURES_SEQUENCE, [_failure(item) for item in unnamed]),
    ):
        if items:
            dataset[tag] = {"vr": "SQ", "Value": items}
    return dataset


def response_xml(dataset: DataSet) -> bytes:
    """The same as XML."""
    return as_xml(dataset, KEYWORDS)


def job_headers(stored: Stored) -> dict[str, str]:
    """Headers that name the jobs and say where to look."""
    if not stored.jobs:
        return {}
    first = list(islice(stored.jobs.items(), _MOST_JOBS))
    return {
        JOB_HEADER: ", ".join(job_id for _, job_id in first),
        "Link": ", ".join(f'</v1/jobs?study_uid={study_uid}>; rel="monitor"' for study_uid, _ in first),
    }


def _reference(instance: Instance) -> dict[str, dict[str, Any]]:
    return {
        REFERENCED_SOP_CLASS_UID: element("UI", instance.sop_class_uid),
        REFERENCED_SOP_INSTANCE_UID: element("UI", instance.sop_instance_uid),
    }


def _failure(refused: Refused) -> dict[str, dict[str, Any]]:
    failure = {FAILURE_REASON: element("US", refused.failure_reason), ERROR_COMMENT: element("LO", refused.code)}
    return failure if refused.tag is None else failure | {OFFENDING_ELEMENT: element("AT", refused.tag)}
