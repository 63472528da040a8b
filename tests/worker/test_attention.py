"""A head's windows as rows of a bag, and its attention as rows and slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slicebank_models.heads.answers import HeadPrediction, Output
from slicebank_store.bags import Bag
from slicebank_store.recipe import RecipeWindow
from slicebank_store.types import BagLevel
from slicebank_worker.errors import WindowMissing
from slicebank_worker.jobs.attention import Attended, attention_json, percentiles
from slicebank_worker.jobs.windows import rows_of_windows

WINDOWS = (RecipeWindow("abdomen", -175, 275), RecipeWindow("lung", -1500, 500))


def bag(kept: list[int], *, scan: bool = False) -> Bag:
    """Slices `kept` of a stack, 5 mm apart, two rows each; or one row for the scan."""
    slices = np.array(kept, np.int32)
    rows = np.full(1, -1, np.int32) if scan else np.repeat(slices, 2)
    windows = np.full(1, -1, np.int8) if scan else np.tile(np.array([0, 1], np.int8), len(kept))
    coords = np.zeros((len(rows), 2), np.float32)
    coords[:, 0] = 7000 if scan else rows * 5000
    return Bag(
        features=np.zeros((len(rows), 3), np.float32),
        coords=coords,
        slice_index=rows,
        window_index=windows,
        slice_numbers=slices,
        z_mm=slices * 5.0,
        instance_number=100 - slices,
        sop_instance_uid=tuple(f"1.2.{index}" for index in kept),
        frame_number=np.ones(len(kept), np.int32),
        windows=WINDOWS,
        level=BagLevel.SCAN if scan else BagLevel.SLICE,
        attrs={},
    )


def whole(bag: Bag, series_uid: str = "1.2") -> Attended:
    return Attended(series_uid, bag, np.arange(len(bag.features)))


def test_rows_of_windows() -> None:
    assert rows_of_windows(bag([0, 1, 3]), None).tolist() == [0, 1, 2, 3, 4, 5]
    assert rows_of_windows(bag([0, 1, 3]), ["lung"]).tolist() == [1, 3, 5]
    assert rows_of_windows(bag([0, 1, 3]), ["lung", "abdomen"]).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(WindowMissing, match="bone"):
        rows_of_windows(bag([0]), ["bone"])


def test_attention_by_row_and_slice() -> None:
    weights = np.array([0.1, 0.2, 0.05, 0.05, 0.2, 0.4])
    told = attention_json([whole(bag([0, 1, 3]))], HeadPrediction((), weights, np.log(weights)))
    assert [row["slice_index"] for row in told["rows"]] == [0, 0, 1, 1, 3, 3]
    assert told["rows"][5] == {
        "row": 5,
        "slice_index": 3,
        "window": "lung",
        "sop_instance_uid": "1.2.3",
        "instance_number": 97,
        "z_mm": 15.0,
        "weight": 0.4,
        "logit": float(np.log(0.4)),
        "percentile": pytest.approx(100 * 5.5 / 6, abs=1e-3),
    }
    assert [(item["slice_index"], item["rank"]) for item in told["slices"]] == [(0, 2), (1, 3), (3, 1)]
    assert [item["weight"] for item in told["slices"]] == pytest.approx([0.3, 0.1, 0.6])


def test_a_scan_level_bag_has_no_slices_to_name() -> None:
    told = attention_json([whole(bag([0, 1], scan=True))], HeadPrediction((), np.ones(1), np.zeros(1)))
    assert told["slices"] == []
    (row,) = told["rows"]
    assert (row["slice_index"], row["window"], row["z_mm"], row["weight"]) == (-1, None, 7.0, 1.0)


def test_percentile_ranks() -> None:
    # scipy.stats.percentileofscore(..., kind="mean") of each.
    assert percentiles(np.array([1.0, 3.0, 3.0, 7.0])).tolist() == [12.5, 50.0, 50.0, 87.5]


def test_attention_over_several_series_names_them() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    told = attention_json(
        [whole(bag([2]), "1.1"), whole(bag([2]), "1.2")],
        HeadPrediction((), weights, np.log(weights)),
    )
    assert [(row["series_uid"], row["slice_index"], row["row"]) for row in told["rows"]] == [
        ("1.1", 2, 0), ("1.1", 2, 1), ("1.2", 2, 0), ("1.2", 2, 1),
    ]  # fmt: skip
    assert [(item["series_uid"], item["rank"], item["percentile"]) for item in told["slices"]] == [
        ("1.1", 2, 25.0), ("1.2", 1, 75.0),
    ]  # fmt: skip
    assert [item["weight"] for item in told["slices"]] == pytest.approx([0.3, 0.7])


def test_attention_of_each_label() -> None:
    outputs = (Output("a", 0.5, 0.0, 0.1), Output("b", 0.5, 0.0, 0.1))
    by_label = np.array([[0.25, 0.75], [0.5, 0.5]])
    answer = HeadPrediction(outputs, by_label.mean(axis=0), np.zeros(2), by_label, np.log(by_label))
    told = attention_json([whole(bag([4]))], answer)
    assert [(item["label"], item["weights"]) for item in told["labels"]] == [("a", [0.25, 0.75]), ("b", [0.5, 0.5])]
    assert "labels" not in attention_json([whole(bag([4]))], HeadPrediction(outputs, np.ones(2) / 2, np.zeros(2)))


def elsewhere(slices: list[int]) -> Bag:
    """A bag made elsewhere: no windows, and a slice for each row, or -1."""
    numbers = np.array(sorted({index for index in slices if index >= 0}), np.int32)
    return replace(
        bag(numbers.tolist()),
        features=np.zeros((len(slices), 3), np.float32),
        coords=np.ones((len(slices), 2), np.float32),
        slice_index=np.array(slices, np.int32),
        window_index=np.full(len(slices), -1, np.int8),
        sop_instance_uid=("",) * len(numbers),
        windows=(),
    )


def test_rows_of_bags_made_elsewhere_may_lie_nowhere() -> None:
    weights = np.array([0.25, 0.75])
    told = attention_json([whole(elsewhere([-1, -1]))], HeadPrediction((), weights, np.log(weights)))
    assert told["slices"] == []
    nowhere = dict.fromkeys(("window", "sop_instance_uid", "instance_number", "z_mm"))
    for row, weight in zip(told["rows"], weights, strict=True):
        assert row == {**row, **nowhere, "slice_index": -1, "weight": weight}
    assert [row["row"] for row in told["rows"]] == [0, 1]


def test_rows_of_bags_made_elsewhere_belong_to_slices_where_the_file_said_so() -> None:
    weights = np.array([0.25, 0.5, 0.25])
    told = attention_json([whole(elsewhere([0, 0, 2]))], HeadPrediction((), weights, np.log(weights)))
    assert [(row["slice_index"], row["window"], row["sop_instance_uid"]) for row in told["rows"]] == [
        (0, None, None),
        (0, None, None),
        (2, None, None),
    ]
    assert [(item["slice_index"], item["weight"], item["rank"]) for item in told["slices"]] == [
        (0, 0.75, 1),
        (2, 0.25, 2),
    ]
