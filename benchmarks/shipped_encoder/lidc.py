"""LIDC-IDRI: the XML files in which up to four readers outlined nodules of 3 mm and more, one file a series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as Xml

from benchmarks.shipped_encoder.axial_slices import TakenSlice
from benchmarks.shipped_encoder.boxes import Extent, SliceBox, overlapping_merged

LABEL = "lung nodule"


def read_boxes(files: Iterable[tuple[str, bytes]], slices: Sequence[TakenSlice]) -> list[SliceBox]:
    """One box for all outlines of a slice that overlap, whoever drew them.

    A box ends where the outline does. Outlines of a single point mark nodules below 3 mm or no nodule, outlines without
    inclusion mark holes: neither counts. Of two files about one series the first counts.
    """
    wanted = {item.sop_instance_uid: item for item in slices}
    series = {item.series_uid for item in slices}
    names = tuple(uid.encode() for uid in series)
    seen: set[str] = set()
    extents: dict[str, list[Extent]] = defaultdict(list)
    for _, content in files:
        if not any(name in content for name in names):
            continue
        root = Xml.fromstring(content)
        space, _, kind = root.tag.rpartition("}")
        space = f"{space}}}" if space else ""
        uid = _series_uid(root)
        if kind != "LidcReadMessage" or uid not in series or uid in seen:
            continue
        seen.add(uid)
        for sop, extent in _outlines(root, space):
            if sop in wanted:
                extents[sop].append(extent)
    return [
        SliceBox(sop, *extent, LABEL, wanted[sop].patient)
        for sop, found in sorted(extents.items())
        for extent in overlapping_merged(found)
    ]


def _series_uid(root: Xml.Element) -> str:
    """The series of a file; its element is spelt SeriesInstanceUid, in files of radiographs CXRSeriesInstanceUid and others."""
    found = (element for element in root.iter() if element.tag.lower().endswith("seriesinstanceuid"))
    return next(((element.text or "").strip() for element in found), "")


def _outlines(root: Xml.Element, space: str) -> Iterable[tuple[str, Extent]]:
    for nodule in root.iter(f"{space}unblindedReadNodule"):
        for outline in nodule.findall(f"{space}roi"):
            columns = [int(point.findtext(f"{space}xCoord", "")) for point in outline.findall(f"{space}edgeMap")]
            rows = [int(point.findtext(f"{space}yCoord", "")) for point in outline.findall(f"{space}edgeMap")]
            included = outline.findtext(f"{space}inclusion", "").strip().upper() == "TRUE"
            if included and len(columns) > 1:
                extent = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
                yield outline.findtext(f"{space}imageSOP_UID", "").strip(), extent
