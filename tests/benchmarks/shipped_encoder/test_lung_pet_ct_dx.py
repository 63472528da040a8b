from __future__ import annotations

from benchmarks.shipped_encoder.boxes import SliceBox
from benchmarks.shipped_encoder.lung_pet_ct_dx import read_boxes
from tests.benchmarks.shipped_encoder.making import taken_slice


def lesion(name: str, *edges: int) -> str:
    box = "".join(f"<{key}>{edge}</{key}>" for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def test_files_are_named_by_their_slice() -> None:
    both = f"<annotation>{lesion('B', 30, 40, 38, 49)}{lesion('A', 3, 4, 8, 9)}</annotation>".encode()
    files = [("Annotation/A1/1.2.3.3.1.xml", both), ("Annotation/A1/1.2.3.3.7.xml", both)]
    assert read_boxes(files, [taken_slice(1), taken_slice(2)]) == [
        SliceBox("1.2.3.3.1", 3, 4, 8, 9, "lung tumour A", "P1"),
        SliceBox("1.2.3.3.1", 30, 40, 38, 49, "lung tumour B", "P1"),
    ]
