"""Geometry in words."""

from __future__ import annotations

from slicebank.cli.geometry import geometry_words, oddities

PLAIN = {
    "orientation_name": "axial",
    "direction": "inferior_to_superior",
    "gantry_tilt_deg": 0.0,
    "pixel_spacing_mm": [0.7, 0.7],
    "spacing_mm": {"median": 1.0, "min": 1.0, "max": 1.0, "distinct": 1},
    "uniform": True,
    "slice_thickness_mm": [1.0],
    "gaps": [],
    "missing_slices": 0,
    "overlapping": False,
    "overlaps": [],
    "duplicates": {"dropped": 0, "in_other_stacks": 0, "positions_mm": []},
    "source": "image_position",
}
ODD = {
    **PLAIN,
    "orientation_name": "oblique",
    "gantry_tilt_deg": 18.5,
    "spacing_mm": {"median": 4.0, "min": 1.08, "max": 7.0, "distinct": 3},
    "uniform": False,
    "gaps": [{"after_slice": 9, "spacing_mm": 12.0, "missing": 2}],
    "missing_slices": 2,
    "overlapping": True,
    "overlaps": [{"first_slice": 0, "last_slice": 5, "overlap_mm": 1.0}],
    "duplicates": {"dropped": 3, "in_other_stacks": 0, "positions_mm": [1.0]},
}


def test_an_even_stack() -> None:
    assert oddities(PLAIN) == []
    assert geometry_words(PLAIN) == {
        "orientation": "axial, inferior to superior",
        "pixels": "0.7 x 0.7 mm",
        "spacing": "1 mm",
        "slice thickness": "1 mm",
        "source": "image_position",
    }


def test_an_odd_one() -> None:
    words = geometry_words(ODD)
    assert words["orientation"] == "oblique, inferior to superior, gantry tilted by 18.5 degrees"
    assert words["spacing"] == "uneven, 1.08 to 7 mm, median 4 mm"
    assert words["gaps"] == "2 slices are probably missing: 2 after slice 9 (12 mm)"
    assert words["overlaps"] == "slices 0 to 5 by 1 mm"
    assert words["duplicates"] == "3 copies left out"
    assert geometry_words({"duplicates": {"dropped": 1}})["duplicates"] == "1 copy left out"
    assert len(oddities(ODD)) == 5


def test_a_report_of_another_version_is_no_trouble() -> None:
    assert geometry_words({}) == {}
    assert oddities({"uniform": None, "spacing_mm": 3, "gaps": None}) == []
