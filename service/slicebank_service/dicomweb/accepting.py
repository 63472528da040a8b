"""Which of the media types on offer a client takes (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
# What clients say that read DICOM JSON; the answer names it by its own name all the same.
_JSON_NAMES = (DICOM_JSON, "application/json", "application/*", "*/*")


def takes_json(accept: str) -> bool:
    """Whether an Accept header, or none, lets the answer be DICOM JSON."""
    return not accept.strip() or _takes(accept, _JSON_NAMES)


def takes_xml(accept: str) -> bool:
    """Whether an Accept header names DICOM XML."""
    return _takes(accept, (DICOM_XML,))


def _takes(accept: str, names: Sequence[str]) -> bool:
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        refused = any(parameter in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters)
        if name in names and not refused:
            return True
    return False
