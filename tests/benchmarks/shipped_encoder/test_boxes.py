from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from benchmarks.shipped_encoder.boxes import Extent, SliceBox, overlapping_merged
from benchmarks.shipped_encoder.tables import write_boxes


@pytest.mark.parametrize("beside", [(4, 0, 8, 4), (0, 4, 4, 8), (4, 4, 8, 8)])
def test_boxes_that_touch_without_a_common_pixel_stay_apart(beside: Extent) -> None:
    first = (0, 0, 4, 4)
    assert set(overlapping_merged([first, beside])) == {first, beside}
    assert set(overlapping_merged([beside, first])) == {first, beside}


def test_what_only_the_union_of_two_reaches_joins_them() -> None:
    wide, tall, between = (0, 0, 11, 3), (0, 0, 3, 11), (8, 8, 9, 9)
    for order in permutations((wide, tall, between)):
        assert overlapping_merged(order) == [(0, 0, 11, 11)]


def test_the_table_is_in_order_of_slices(tmp_path: Path) -> None:
    boxes = [SliceBox("1.2", 1, 2, 3.5, 4.0, "b", "P"), SliceBox("1.1", 9, 2, 11, 4, "a", "P")]
    write_boxes(tmp_path / "boxes.csv", boxes)
    assert (tmp_path / "boxes.csv").read_text().split() == [
        "sop_instance_uid,x_min,y_min,x_max,y_max,label,patient",
        "1.1,9,2,11,4,a,P",
        "1.2,1,2,3.5,4,b,P",
    ]
