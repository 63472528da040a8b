"""A written series is read back as it was: HU, order, geometry and identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.series_writing import SeriesFacts, write_series

FACTS = SeriesFacts("Test set", "scan-1", "PATIENT-1", (0.7, 0.8), 2.5)


def volume() -> dict[int, np.ndarray[tuple[int, int], np.dtype[np.int16]]]:
    """Numbers with a gap; values over all of int16."""
    generator = np.random.default_rng(3)
    return {number: generator.integers(-32768, 32768, (6, 9), dtype=np.int16) for number in (7, 8, 9, 12)}


def test_hu_order_and_geometry_come_back(tmp_path: Path) -> None:
    hu = volume()
    assert write_series(hu.items(), tmp_path / "made", FACTS) == 4
    folder = tmp_path / "made"
    headers = [
        read_file_header(path, file=path.name, name=path.name, options=ImportOptions()) for path in folder.iterdir()
    ]
    (series,) = group_series(headers, ImportOptions()).series
    (stack,) = series.stacks
    assert series.series_uid == FACTS.series_uid
    assert series.patient_id == "PATIENT-1"
    assert not series.derived_uids
    # From inferior to superior: the numbers count down from the head.
    assert [ref.instance_number for ref in stack.slices] == [12, 9, 8, 7]
    assert [ref.z_mm for ref in stack.slices] == pytest.approx([-30.0, -22.5, -20.0, -17.5])
    assert stack.geometry["pixel_spacing_mm"] == pytest.approx([0.7, 0.8])
    loader = SliceLoader(folder)
    for ref in stack.slices:
        assert ref.instance_number is not None
        assert np.array_equal(loader.load(ref).hounsfield(), hu[ref.instance_number].astype(np.float32))


def test_writing_twice_gives_the_same_bytes_and_another_name_another_series(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_series(volume().items(), tmp_path / name, FACTS)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert SeriesFacts("Test set", "scan-2", "PATIENT-1", (1, 1), 1).series_uid != FACTS.series_uid
    assert SeriesFacts("Other set", "scan-1", "PATIENT-1", (1, 1), 1).series_uid != FACTS.series_uid


def test_slices_are_written_as_they_come(tmp_path: Path) -> None:
    """No more than one slice need be in memory."""
    seen = []

    def slices() -> object:
        for number, hu in volume().items():
            seen.append(len(list(tmp_path.glob("*.dcm"))))
            yield number, hu

    write_series(slices(), tmp_path, FACTS)  # type: ignore[arg-type]
    assert seen == [0, 1, 2, 3]
