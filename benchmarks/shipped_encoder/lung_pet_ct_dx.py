"""Lung-PET-CT-Dx: tumour boxes in PASCAL VOC files, one file a slice, named by its SOPInstanceUID."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree as Xml

from benchmarks.shipped_encoder.axial_slices import TakenSlice
from benchmarks.shipped_encoder.boxes import SliceBox

EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_boxes(files: Iterable[tuple[str, bytes]], slices: Sequence[TakenSlice]) -> list[SliceBox]:
    """Boxes as they were drawn; the label ends with the collection's letter of the histology (A adenocarcinoma, B small cell, E large cell, G squamous cell)."""
    wanted = {item.sop_instance_uid: item for item in slices}
    boxes = []
    for path, content in files:
        item = wanted.get(PurePosixPath(path).stem)
        if item is None:
            continue
        for lesion in Xml.fromstring(content).iter("object"):
            left, top, right, bottom = (float(lesion.findtext(f"bndbox/{edge}", "")) for edge in EDGES)
            label = f"lung tumour {lesion.findtext('name', '')}".rstrip()
            boxes.append(SliceBox(item.sop_instance_uid, left, top, right, bottom, label, item.patient))
    return sorted(boxes)
