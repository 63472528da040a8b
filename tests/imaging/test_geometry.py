import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicebank_imaging.placement import normal_of
from tests.imaging.making import ct_dataset, group


def _geometry(folder: Path, positions: list[float], **changes: Any) -> dict[str, Any]:
    datasets = [
        ct_dataset(n, **{"ImagePositionPatient": [0, 0, z], **changes}) for n, z in enumerate(positions, start=1)
    ]
    return group(folder, datasets).series[0].stacks[0].geometry


def test_an_even_stack(tmp_path: Path) -> None:
    geometry = _geometry(tmp_path, [0, 2, 4, 6], SliceThickness="2")
    assert geometry == {
        "n_slices": 4,
        "rows": 8,
        "columns": 10,
        "orientation": [1, 0, 0, 0, 1, 0],
        "normal_angle_deg": 0.0,
        "gantry_tilt_deg": 0.0,
        "pixel_spacing_mm": [0.7, 0.8],
        "spacing_mm": {"median": 2.0, "min": 2.0, "max": 2.0, "distinct": [2.0]},
        "uniform": True,
        "slice_thickness_mm": [2.0],
        "extent_mm": 6.0,
        "gaps": [],
        "overlapping": False,
        "source": "image_position",
        "orientation_name": "axial",
        "direction": "inferior_to_superior",
        "instance_order": "rising",
        "missing_slices": 0,
        "overlaps": [],
        "duplicates": {"dropped": 0, "in_other_stacks": 0, "positions_mm": []},
    }


def test_gaps_and_uneven_spacing_are_reported_not_refused(tmp_path: Path) -> None:
    geometry = _geometry(tmp_path, [0, 2, 4, 10, 12], SliceThickness="2")
    assert geometry["gaps"] == [{"after_slice": 2, "spacing_mm": 6.0, "missing": 2}]
    assert geometry["missing_slices"] == 2
    assert geometry["spacing_mm"]["distinct"] == [2.0, 6.0]
    assert geometry["uniform"] is False


def test_thick_slices_that_touch_leave_no_gap(tmp_path: Path) -> None:
    datasets = [
        ct_dataset(n, ImagePositionPatient=[0, 0, z], SliceThickness=str(t))
        for n, (z, t) in enumerate([(0, 2), (2, 2), (4, 2), (6, 6), (12, 6)])
    ]
    assert group(tmp_path, datasets).series[0].stacks[0].geometry["gaps"] == []


def test_overlap_and_rounding(tmp_path: Path) -> None:
    assert _geometry(tmp_path, [0, 2, 4], SliceThickness="3")["overlapping"] is True
    jitter = _geometry(tmp_path, [0, 1.99, 4.01, 6.0])
    assert jitter["uniform"] is True
    assert jitter["spacing_mm"]["distinct"] == [2.0]


@pytest.mark.parametrize("degrees", [-25.0, 18.5, 40.0])
def test_spacing_is_along_the_normal_of_a_tilted_gantry(tmp_path: Path, degrees: float) -> None:
    """Slices 5 mm apart along z of a plane tilted about x are 5 cos(tilt) apart along their normal."""
    angle = math.radians(degrees)
    plane = [1, 0, 0, 0, f"{math.cos(angle):.6f}", f"{math.sin(angle):.6f}"]
    geometry = _geometry(tmp_path, [0, 5, 10], ImageOrientationPatient=plane, GantryDetectorTilt=str(degrees))
    assert geometry["spacing_mm"]["median"] == pytest.approx(5 * math.cos(angle), abs=1e-3)
    assert geometry["normal_angle_deg"] == pytest.approx(abs(degrees), abs=0.01)
    assert geometry["gantry_tilt_deg"] == degrees


def test_one_slice_has_no_spacing(tmp_path: Path) -> None:
    geometry = _geometry(tmp_path, [3])
    assert (geometry["spacing_mm"], geometry["uniform"], geometry["extent_mm"]) == (None, True, 0.0)
    assert geometry["source"] == "single"


@pytest.mark.parametrize(
    ("orientation", "normal"),
    [
        ((1, 0, 0, 0, 1, 0), (0, 0, 1)),
        ((1, 0, 0, 0, -1, 0), (0, 0, 1)),
        ((1, 0, 0, 0, 0, -1), (0, 1, 0)),
        ((0, 1, 0, 0, 0, -1), (1, 0, 0)),
    ],
)
def test_normals_point_to_head_back_and_left(orientation: tuple[float, ...], normal: tuple[float, ...]) -> None:
    assert np.allclose(normal_of(orientation), normal)  # type: ignore[arg-type]  # six numbers


def test_overlaps_are_listed_as_runs(tmp_path: Path) -> None:
    geometry = _geometry(tmp_path, [0, 2, 4.01, 6, 7, 11], SliceThickness="3")
    assert geometry["overlaps"] == [
        {"first_slice": 0, "last_slice": 3, "overlap_mm": 1.0},
        {"first_slice": 3, "last_slice": 4, "overlap_mm": 2.0},
    ]


def test_copies_that_were_dropped_are_told(tmp_path: Path) -> None:
    datasets = [ct_dataset(n) for n in (1, 2, 2, 2, 3)]
    grouping = group(tmp_path, datasets)
    (stack,) = grouping.series[0].stacks
    assert stack.geometry["duplicates"] == {"dropped": 2, "in_other_stacks": 0, "positions_mm": [2.0]}
    assert len(grouping.refused) == 2


def test_positions_that_two_phases_share_are_told(tmp_path: Path) -> None:
    datasets = [
        ct_dataset(10 * phase + n, ImagePositionPatient=[0, 0, n], AcquisitionNumber=phase)
        for phase, last in ((1, 4), (2, 3))
        for n in range(1, last)
    ]
    first, second = group(tmp_path, datasets).series[0].stacks
    expected = {"dropped": 0, "in_other_stacks": 2, "positions_mm": [1.0, 2.0]}
    assert (len(first.slices), first.geometry["duplicates"]) == (3, expected)
    assert (len(second.slices), second.geometry["duplicates"]) == (2, expected)


@pytest.mark.parametrize(
    ("numbers", "order"),
    [([3, 2, 1], "falling"), ([1, 2, 3], "rising"), ([1, 3, 2], "mixed"), ([1, 1, 1], None), ([1, None, 2], None)],
)
def test_instance_numbers_are_compared_with_positions(
    tmp_path: Path, numbers: list[int | None], order: str | None
) -> None:
    datasets = [ct_dataset(z, InstanceNumber=number) for z, number in enumerate(numbers, start=1)]
    assert group(tmp_path, datasets).series[0].stacks[0].geometry["instance_order"] == order


@pytest.mark.parametrize(
    ("orientation", "name", "direction"),
    [
        ([1, 0, 0, 0, 1, 0], "axial", "inferior_to_superior"),
        ([1, 0, 0, 0, math.cos(0.3), -math.sin(0.3)], "oblique", "inferior_to_superior"),
        ([1, 0, 0, 0, 0, -1], "coronal", "anterior_to_posterior"),
        ([0, 1, 0, 0, 0, -1], "sagittal", "right_to_left"),
    ],
)
def test_planes_have_names(tmp_path: Path, orientation: list[float], name: str, direction: str) -> None:
    other = ct_dataset(9, ImageOrientationPatient=[f"{value:.6g}" for value in orientation])
    datasets = [ct_dataset(1), ct_dataset(2), other]
    stacks = group(tmp_path, datasets).series[0].stacks
    assert (stacks[-1].geometry["orientation_name"], stacks[-1].geometry["direction"]) == (name, direction)
