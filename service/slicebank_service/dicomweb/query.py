"""The query of a QIDO-RS search (DICOM PS3.18 section 8.3.4): what must match, which page, and what of it cannot be honoured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType

from starlette.exceptions import HTTPException

from slicebank_service.context import ID_PATTERN
from slicebank_store.catalogue.qido import Matching
from slicebank_store.pseudonyms import Pseudonyms

# Results of one answer, some 300 bytes each; who wants more asks for the next ones.
MOST_RESULTS = 1_000
# More than anybody types, and few enough for one statement.
_MOST_VALUES = 500
# Offsets beyond it are no database's integers.
_LARGEST = 2**31

_TAGS = MappingProxyType(
    {
        "00080018": "SOPInstanceUID",
        "00080060": "Modality",
        "00080061": "ModalitiesInStudy",
        "00100020": "PatientID",
        "00180015": "BodyPartExamined",
        "0020000D": "StudyInstanceUID",
        "0020000E": "SeriesInstanceUID",
    }
)
_PAGING = frozenset({"limit", "offset"})
_UID = re.compile(ID_PATTERN)
_PLAIN = re.compile(r"[A-Za-z0-9.]{1,64}")
_ELSEWHERE = "{} is not supported here for matching and was ignored"


class Level(StrEnum):
    """What is searched for."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(slots=True)
class Search:
    """One search.

    Attributes:
        matching: of series.
        sop_instance_uids: all where empty.
        nothing: no series can match.
        limit: results wanted.
        capped: there are fewer than the client would take.
        warnings: sentences for the client.
    """

    matching: Matching
    sop_instance_uids: frozenset[str] = frozenset()
    nothing: bool = False
    limit: int = MOST_RESULTS
    capped: bool = True
    offset: int = 0
    warnings: list[str] = field(default_factory=list)


def parse_search(
    items: Iterable[tuple[str, str]],
    level: Level,
    pseudonyms: Pseudonyms,
    path: Mapping[str, str],
    fields: frozenset[str],
) -> Search:
    """Reads a query.

    Args:
        items: keys and values, in the order given.
        level: what is searched for.
        pseudonyms: what the catalogue calls patients, studies, series and instances.
        path: UIDs that the path names, by keyword.
        fields: keywords and tags of what can be answered.

    Raises:
        HTTPException: 400, a value that cannot be read.
    """
    search = Search(Matching())
    asked: dict[str, set[str]] = {}
    for key, value in [*items, *path.items()]:
        keyword = _TAGS.get(key.upper(), key)
        if key in _PAGING:
            _page(search, key, value)
        elif key == "includefield":
            _include(search, value, fields)
        elif key == "fuzzymatching":
            if value.strip().lower() == "true":
                search.warnings.append(
                    "The fuzzymatching parameter is not supported. Only literal matching has been performed."
                )
        elif keyword not in _TAGS.values() or (keyword == "SOPInstanceUID" and level is not Level.INSTANCE):
            name = key if _PLAIN.fullmatch(key) else "A parameter"
            search.warnings.append(_ELSEWHERE.format(name))
        elif values := _values(keyword, value, search):
            # Two values of one attribute, of path and query for instance, must both match.
            asked[keyword] = asked[keyword] & values if keyword in asked else values
    search.nothing = any(not values for values in asked.values())
    for keyword in ("Modality", "ModalitiesInStudy"):
        if keyword in asked and not any(fnmatchcase("CT", value.upper()) for value in asked[keyword]):
            search.nothing = True
    uids = {
        keyword: frozenset(pseudonyms.uid_asked(uid) for uid in asked.get(keyword, ()))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    search.sop_instance_uids = uids["SOPInstanceUID"]
    search.matching = Matching(
        study_uids=uids["StudyInstanceUID"],
        series_uids=uids["SeriesInstanceUID"],
        patients=frozenset(pseudonyms.patient_asked(value) for value in asked.get("PatientID", ())),
        body_parts=frozenset(value.upper() for value in asked.get("BodyPartExamined", ())),
    )
    return search


def _page(search: Search, key: str, value: str) -> None:
    if not (value.isascii() and value.isdigit() and int(value) < _LARGEST):
        raise HTTPException(400, f"{key} must be a whole number from 0")
    if key == "offset":
        search.offset = int(value)
    else:
        search.limit, search.capped = min(int(value), MOST_RESULTS), int(value) > MOST_RESULTS


def _include(search: Search, value: str, fields: frozenset[str]) -> None:
    wanted = {name.strip() for name in value.split(",")} - {"", "all"}
    if unknown := sorted(name if _PLAIN.fullmatch(name) else "A field" for name in wanted if not _held(name, fields)):
        search.warnings.append(f"{', '.join(unknown[:20])} cannot be included: it is not held")


def _held(name: str, fields: frozenset[str]) -> bool:
    return name in fields or name.upper() in fields


def _values(keyword: str, value: str, search: Search) -> set[str]:
    """The values of which one must match; empty where anything does (PS3.4 C.2.2.2.3)."""
    if keyword in ("PatientID", "BodyPartExamined"):
        values = {value.strip()} - {""}
    else:
        values = {part.strip() for part in re.split(r"[,\\]", value)} - {""}
    if "*" in values:
        return set()
    if len(values) > _MOST_VALUES:
        raise HTTPException(400, f"{keyword} names more than {_MOST_VALUES} values; ask in parts")
    if keyword.endswith("UID"):
        if not all(_UID.fullmatch(uid) for uid in values):
            raise HTTPException(400, f"{keyword} holds something that is no UID")
    elif keyword in ("PatientID", "BodyPartExamined") and any(set("*?") & set(text) for text in values):
        search.warnings.append(f"Wildcards of {keyword} are not supported. Only literal matching has been performed.")
    return values
