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
    }


def test_gaps_and_uneven_spacing_are_reported_not_refused(tmp_path: Path) -> None:
    geometry = _geometry(tmp_path, [0, 2, 4, 10, 12], SliceThickness="2")
    assert geometry["gaps"] == [{"after_slice": 2, "spacing_mm": 6.0}]
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
