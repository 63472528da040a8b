"""Data sets as DICOM JSON (PS3.18 annex F) and as Native DICOM Model XML (PS3.19 annex A.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

DataSet = dict[str, dict[str, Any]]
"""Elements by tag, eight upper-case hex digits; sequences hold data sets."""

_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


def element(vr: str, *values: Any) -> dict[str, Any]:
    """An element; empty values, which stand for unknown ones, are left out."""
    known = [value for value in values if value not in ("", None)]
    return {"vr": vr, "Value": known} if known else {"vr": vr}


def as_xml(dataset: DataSet, keywords: Mapping[str, str]) -> bytes:
    """A data set as XML.

    Args:
        dataset: elements that have a keyword.
        keywords: DICOM keyword of each tag.
    """
    root = Xml.Element("NativeDicomModel", {"xmlns": _NAMESPACE})
    _fill(root, dataset, keywords)
    written: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _fill(parent: Xml.Element, dataset: DataSet, keywords: Mapping[str, str]) -> None:
    for tag, item in sorted(dataset.items()):
        node = Xml.SubElement(parent, "DicomAttribute", {"tag": tag, "vr": item["vr"], "keyword": keywords[tag]})
        for number, value in enumerate(item.get("Value", ()), start=1):
            if item["vr"] == "SQ":
                _fill(Xml.SubElement(node, "Item", {"number": str(number)}), value, keywords)
            else:
                Xml.SubElement(node, "Value", {"number": str(number)}).text = str(value)
