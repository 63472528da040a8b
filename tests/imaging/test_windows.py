import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_imaging.errors import BadOption
from slicebank_imaging.windows import NAMED, Window, parse_windows, render_gray8


def _reference(hu: int, window: Window) -> int:
    """The formula in exact fractions."""
    part = (Fraction(hu) - Fraction(window.low)) / (Fraction(window.high) - Fraction(window.low))
    return math.floor(255 * min(max(part, Fraction(0)), Fraction(1)) + Fraction(1, 2))


@pytest.mark.parametrize("window", NAMED.values(), ids=NAMED)
def test_named_windows_render_as_the_exact_formula(window: Window) -> None:
    hu = np.arange(-3000, 4000)
    gray = render_gray8(hu, window)
    expected = np.array([_reference(int(value), window) for value in hu])
    # float64 may fall on the other side where the fraction is exactly a half
    halves = np.array(
        [
            (255 * (Fraction(int(v)) - Fraction(window.low)) / Fraction(window.high - window.low)) % 1 == Fraction(1, 2)
            for v in hu
        ]
    )
    assert np.array_equal(gray[~halves], expected[~halves])
    assert np.abs(gray.astype(int) - expected).max() <= 1


def test_bounds_are_black_and_white() -> None:
    window = NAMED["abdomen"]
    assert render_gray8(np.array([-2048.0, -175.0, 275.0, 3071.0]), window).tolist() == [0, 0, 255, 255]


@settings(deadline=None)
@given(st.lists(st.floats(-5000, 5000), min_size=2, max_size=20))
def test_brighter_is_never_darker(values: list[float]) -> None:
    gray = render_gray8(np.sort(np.array(values)), NAMED["lung"])
    assert np.all(np.diff(gray.astype(int)) >= 0)


def test_windows_are_parsed_by_name_and_by_bounds() -> None:
    windows = parse_windows(["lung", {"name": "stroke", "low": 20, "high": "60"}])
    assert windows == (Window("lung", -1500.0, 500.0), Window("stroke", 20.0, 60.0))
    assert windows[1].as_dict() == {"name": "stroke", "low": 20.0, "high": 60.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one"),
        (["lungs"], "no window"),
        (["lung", "lung"], "twice"),
        ([{"name": "x", "low": 5}], "numbers"),
        ([{"name": "x", "low": "a", "high": 3}], "numbers"),
        ([{"name": "x", "low": 10**400, "high": 5}], "numbers"),
        ([{"name": "x", "low": 5, "high": 5}], "below"),
        ([{"name": "x", "low": float("nan"), "high": 5}], "below"),
        ([{"name": "../x", "low": 1, "high": 5}], "name"),
        ([{"name": "lung", "low": -1000, "high": 5}], "another name"),
    ],
)
def test_unusable_windows_are_refused(values: list[object], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        parse_windows(values)  # type: ignore[arg-type]  # what a request may hold
