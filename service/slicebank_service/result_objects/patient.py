"""Whose an object is: the patient and study modules, which the catalogue does not keep and a caller or the PACS has to say.

They are used for the one object and written nowhere (docs/privacy.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import Any

from slicebank_imaging.values import text_encoding
from slicebank_service.errors import BadRequest, OtherStudy

_STUDY_UID, _SERIES_UID, _SOP_CLASS_UID, _CHARACTER_SET = 0x0020000D, 0x0020000E, 0x00080016, 0x00080005

_LONG_STRING, _SHORT_STRING = re.compile(r"[^\\\x00-\x1f\x7f]{0,64}"), re.compile(r"[^\\\x00-\x1f\x7f]{0,16}")
# PS3.5 section 6.2.1: up to three groups of 64 characters.
_PERSON_NAME = re.compile(r"[^\\=\x00-\x1f\x7f]{0,64}(=[^\\=\x00-\x1f\x7f]{0,64}){0,2}")
_DATE = re.compile(r"([0-9]{8})?")
_TIME = re.compile(r"([0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?)?")

# What PS3.3 C.7.1.1 and C.7.2.1 require, and what tells patients of two issuers apart.
ATTRIBUTES: Mapping[str, tuple[int, re.Pattern[str]]] = MappingProxyType(
    {
        "PatientName": (0x00100010, _PERSON_NAME),
        "PatientID": (0x00100020, _LONG_STRING),
        "IssuerOfPatientID": (0x00100021, _LONG_STRING),
        "PatientBirthDate": (0x00100030, _DATE),
        "PatientSex": (0x00100040, re.compile(r"[MFO]?")),
        "StudyDate": (0x00080020, _DATE),
        "StudyTime": (0x00080030, _TIME),
        "AccessionNumber": (0x00080050, _SHORT_STRING),
        "ReferringPhysicianName": (0x00080090, _PERSON_NAME),
        "StudyID": (0x00200010, _SHORT_STRING),
    }
)
_LAST = 0x00200010

# Header values of a patient and a study lie in its first kilobytes; pixels are not needed.
MAX_HEADER_BYTES = 4 << 20
_DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class PatientStudy:
    """What is known of the patient and the study of an object.

    Attributes:
        values: by keyword of `ATTRIBUTES`; what is not known is missing, and the object has it empty.
        sop_classes: SOP class of the images of a series, where it is known.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    sop_classes: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether the object can name its patient."""
        return bool(self.values.get("PatientID") or self.values.get("PatientName"))

    @property
    def digest_parts(self) -> tuple[str, ...]:
        """What tells objects of different patients apart."""
        return tuple(f"{keyword}={value}" for keyword, value in sorted(self.values.items()))


def of_header(body: bytes, study_uid: str) -> PatientStudy:
    """Reads the header of a DICOM file of the study; its beginning is enough.

    Args:
        body: the first bytes of the file.
        study_uid: of the prediction.

    Raises:
        BadRequest: the bytes are no DICOM header.
        OtherStudy: it is the header of another study.
    """
    texts = _texts(body[:MAX_HEADER_BYTES])
    if _STUDY_UID not in texts:
        raise BadRequest("the body is no DICOM file, or its header names no study; send a file of the study itself")
    if texts[_STUDY_UID] != study_uid:
        raise OtherStudy(
            "the header is of another study than the prediction; send a file of the study that was asked about"
        )
    values = _checked({keyword: texts.get(tag, "") for keyword, (tag, _) in ATTRIBUTES.items()})
    series_uid, sop_class = texts.get(_SERIES_UID, ""), texts.get(_SOP_CLASS_UID, "")
    return PatientStudy(values, {series_uid: sop_class} if series_uid and sop_class else {})


def of_dicom_json(item: Mapping[str, Any]) -> PatientStudy:
    """Reads one answer of QIDO-RS for studies (PS3.18 annex F)."""
    return PatientStudy(_checked({keyword: _first(item, f"{tag:08X}") for keyword, (tag, _) in ATTRIBUTES.items()}))


def _checked(values: Mapping[str, str]) -> dict[str, str]:
    """Values that fit their representations; a PatientID that does not is an error, for a part of it could be another's.

    Raises:
        BadRequest: the PatientID does not fit.
    """
    kept = {
        keyword: value
        for keyword, value in values.items()
        if value and ATTRIBUTES[keyword][1].fullmatch(value) is not None
    }
    if values.get("PatientID") and "PatientID" not in kept:
        raise BadRequest("the PatientID of the header is longer than 64 characters or holds ones that none may have")
    return kept


def _texts(header: bytes) -> dict[int, str]:
    from pydicom.filereader import read_partial

    if _DEFLATED in header[:1024]:
        # The library would inflate all of it at once, and a megabyte may hold a gigabyte.
        raise BadRequest("deflated files are not read here; send a file of the study in another transfer syntax")
    wanted = [tag for tag, _ in ATTRIBUTES.values()]
    try:
        read = read_partial(
            BytesIO(header),
            stop_when=lambda tag, _vr, _length: tag > _LAST,
            force=True,
            specific_tags=[*wanted, _STUDY_UID, _SERIES_UID, _SOP_CLASS_UID, _CHARACTER_SET],
        )
        # As the values lie in the file: the library would warn, with the value, of one that breaks a rule.
        found = {int(tag): read.get_item(tag).value for tag in read.keys()}  # noqa: SIM118 - iterating would convert
    except Exception as error:  # the library raises anything for hostile bytes
        raise BadRequest("the body is no DICOM file; send a file of the study itself") from error
    sets = _plain(found.get(_CHARACTER_SET), "ascii").split("\\")
    # ISO 2022 names its further sets after the first.
    encoding = text_encoding(tuple(part.strip() for part in (sets[1:] if len(sets) > 1 and not sets[0] else sets)))
    return {tag: _plain(value, encoding) for tag, value in found.items()}


def _plain(value: object, encoding: str) -> str:
    text = value.decode(encoding, "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def _first(item: Mapping[str, Any], tag: str) -> str:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list) and values else ""
    if isinstance(value, Mapping):
        # Person names come by their groups of characters.
        groups = [str(value.get(group) or "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value).strip()
