from __future__ import annotations

from benchmarks.shipped_encoder.lidc import read_boxes
from tests.benchmarks.shipped_encoder.making import taken_slice
from tests.imaging.making import SERIES


def outline(number: int, *points: tuple[int, int], inclusion: str = "TRUE") -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return f"<roi><imageSOP_UID> 1.2.3.3.{number} </imageSOP_UID><inclusion>{inclusion}</inclusion>{edges}</roi>"


def document(*readers: str, kind: str = "LidcReadMessage", series: str = SERIES) -> bytes:
    sessions = "".join(
        f"<readingSession><unblindedReadNodule>{rois}</unblindedReadNodule></readingSession>" for rois in readers
    )
    head = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.nih.gov">{head}{sessions}</{kind}>'.encode()


def extents(*documents: bytes) -> list[tuple[str, float, float, float, float]]:
    boxes = read_boxes([(f"{n}.xml", content) for n, content in enumerate(documents)], [taken_slice(1), taken_slice(2)])
    assert all((box.label, box.patient) == ("lung nodule", "P1") for box in boxes)
    return [(box.sop_instance_uid, box.x_min, box.y_min, box.x_max, box.y_max) for box in boxes]


def test_outlines_of_several_readers_that_overlap_make_one_box() -> None:
    first = outline(1, (10, 20), (14, 22), (12, 26))
    second = outline(1, (13, 21), (18, 24))
    beside = outline(1, (19, 20), (22, 24))
    assert extents(document(first, second + beside)) == [
        ("1.2.3.3.1", 10, 20, 19, 27),
        ("1.2.3.3.1", 19, 20, 23, 25),
    ]


def test_a_box_that_joins_two_makes_all_three_one() -> None:
    apart = outline(1, (0, 0), (4, 4)), outline(1, (8, 8), (12, 12))
    assert extents(document(*apart, outline(1, (3, 3), (9, 9)))) == [("1.2.3.3.1", 0, 0, 13, 13)]


def test_slices_count_for_themselves() -> None:
    assert extents(document(outline(2, (1, 1), (2, 2)) + outline(1, (1, 1), (2, 2)) + outline(9, (1, 1), (2, 2)))) == [
        ("1.2.3.3.1", 1, 1, 3, 3),
        ("1.2.3.3.2", 1, 1, 3, 3),
    ]


def test_single_points_and_holes_are_no_boxes() -> None:
    assert extents(document(outline(1, (5, 5)), outline(1, (1, 1), (9, 9), inclusion="FALSE"))) == []


def test_radiographs_other_series_and_second_files_do_not_count() -> None:
    one, two = outline(1, (1, 1), (2, 2)), outline(1, (5, 5), (6, 6))
    other = document(two, series="1.2.3.9") + b"<!-- 1.2.3.2 -->"
    assert extents(document(two, kind="IdriReadMessage"), other, document(one), document(two)) == [
        ("1.2.3.3.1", 1, 1, 3, 3)
    ]
