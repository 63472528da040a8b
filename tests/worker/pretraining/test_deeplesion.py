"""The layout of the NIH's download, with rows of the real table where it is at hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.deeplesion import DeepLesionSource, Split

COLUMNS = [
    "File_name",
    "Key_slice_index",
    "Bounding_boxes",
    "Coarse_lesion_type",
    "Possibly_noisy",
    "Spacing_mm_px_",
    "Train_Val_Test",
]


def row(
    series: str, number: int, box: str = "11, 21, 30, 50", split: int = 1, coarse: int = -1, noisy: int = 0
) -> list[Any]:
    return [f"{series}_{number:03d}.png", number, box, coarse, noisy, "0.8, 0.8, 5", split]


def deeplesion(folder: Path, slices: Mapping[str, Sequence[int]], rows: Sequence[Sequence[Any]]) -> Path:
    """Slice n of every series is all n HU."""
    for series, numbers in slices.items():
        (folder / "Images_png" / series).mkdir(parents=True)
        for number in numbers:
            stored = np.full((64, 64), 32768 + number, np.uint16)
            Image.fromarray(stored).save(folder / "Images_png" / series / f"{number:03d}.png")
    with (folder / "DL_info.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return folder


def read(source: DeepLesionSource) -> list[SourceSlice]:
    return list(source.slices())


def test_key_slices_have_boxes_and_their_neighbours_are_context(tmp_path: Path) -> None:
    rows = [row("000001_01_01", 20, coarse=5), row("000001_01_01", 20, "1, 1, 5, 5"), row("000001_01_01", 40)]
    source = DeepLesionSource(deeplesion(tmp_path, {"000001_01_01": [18, 19, 20, 21, 40]}, rows), workers=2)
    slices = read(source)
    assert len(source) == 5
    # Numbered from superior to inferior; here from inferior to superior.
    assert [int(one.hu[0, 0]) for one in slices] == [40, 21, 20, 19, 18]
    assert [one.position for one in slices] == [0, 19, 20, 21, 22]
    assert [len(one.boxes) for one in slices] == [1, 0, 2, 0, 0]
    # Pixels counted from 1, the last ones within.
    assert slices[2].boxes == (LesionBox(20, 10, 50, 30), LesionBox(0, 0, 5, 5))
    assert [one.label for one in slices] == ["", "", "lung", "", ""]
    assert {one.patient for one in slices} == {"deeplesion-000001"}
    assert slices[0].pixel_mm == 0.8
    assert slices[0].hu.dtype == np.int16
    assert source.left_out == ()


def test_hu_is_what_is_stored_minus_32768(tmp_path: Path) -> None:
    folder = deeplesion(tmp_path, {"000001_01_01": [5]}, [row("000001_01_01", 5)])
    stored = np.array([[0, 31744, 32768, 65535]] * 4, np.uint16)
    Image.fromarray(stored).save(folder / "Images_png" / "000001_01_01" / "005.png")
    (one,) = read(DeepLesionSource(folder, workers=1))
    assert one.hu[0].tolist() == [-32768, -1024, 0, 32767]


def test_no_patient_of_another_part_enters(tmp_path: Path) -> None:
    """Patient 2 is for testing; 3 is in two parts; of 4 the table says nothing; all but 1 stay out."""
    rows = [
        row("000001_01_01", 5),
        row("000002_01_01", 5, split=3),
        row("000003_01_01", 5, split=1),
        row("000003_02_01", 5, split=2),
    ]
    folder = deeplesion(
        tmp_path, {f"{series}_01": [4, 5] for series in ("000001_01", "000002_01", "000003_01", "000003_02", "000004_01")}, rows
    )  # fmt: skip
    source = DeepLesionSource(folder, workers=1)
    assert {one.patient for one in read(source)} == {"deeplesion-000001"}
    told = " ".join(source.left_out)
    assert "1 series of test" in told
    assert "2 series of train and val" in told
    assert "1 series of no part" in told
    assert {one.patient for one in read(DeepLesionSource(folder, splits=[Split.TEST], workers=1))} == {
        "deeplesion-000002"
    }
    both = DeepLesionSource(folder, splits=[Split.VALIDATION, Split.TRAIN], workers=1)
    assert both.name == "deeplesion train+val"
    assert {one.patient for one in read(both)} == {"deeplesion-000001", "deeplesion-000003"}


def test_odd_rows_are_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    rows: list[Sequence[Any]] = [
        row("000001_01_01", 5),
        row("000001_01_01", 6, "nan, 1, 2, 3"),
        row("000001_01_01", 7, "30, 1, 2, 3"),
        row("000001_01_01", 8, "a box"),
        row("000001_01_01", 9, noisy=1),
        row("somewhere", 9),
        row("000001_01_01", 99),
        ["000001_01_01_010.png"],
    ]
    source = DeepLesionSource(deeplesion(tmp_path, {"000001_01_01": range(5, 10)}, rows), workers=2)
    slices = read(source)
    assert [len(one.boxes) for one in slices] == [0, 0, 0, 0, 1]
    told = source.left_out
    assert sum("no box x1, y1, x2, y2" in sentence for sentence in told) == 3
    assert any("line 6 is marked as possibly noisy" in sentence for sentence in told)
    assert any("line 7 names no series" in sentence for sentence in told)
    assert any("key slice 99 of 000001_01_01 is not there" in sentence for sentence in told)
    assert any("line 9 names no series" in sentence for sentence in told)


def test_files_that_are_no_16_bit_png_are_named(tmp_path: Path) -> None:
    folder = deeplesion(tmp_path, {"000001_01_01": [5, 6, 7, 8]}, [row("000001_01_01", 5)])
    images = folder / "Images_png" / "000001_01_01"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(images / "006.png")
    (images / "007.png").write_bytes((images / "005.png").read_bytes()[:60])
    (images / "008.png").write_text("not a picture")
    (images / "notes.txt").write_text("not a slice")
    (folder / "Images_png" / "elsewhere").mkdir()
    source = DeepLesionSource(folder, workers=2)
    assert [int(one.hu[0, 0]) for one in read(source)] == [5]
    told = " ".join(source.left_out)
    assert "006.png is no 16-bit grey PNG" in told
    assert "007.png cannot be read" in told
    assert "008.png cannot be read" in told
    assert "elsewhere is no series" in told


def test_unpacked_twice_is_found_and_half_a_download_is_refused(tmp_path: Path) -> None:
    folder = deeplesion(tmp_path / "a", {"000001_01_01": [5]}, [row("000001_01_01", 5)])
    (folder / "Images_png").rename(folder / "inner")
    (folder / "Images_png").mkdir()
    (folder / "inner").rename(folder / "Images_png" / "Images_png")
    assert len(DeepLesionSource(folder, workers=1)) == 1
    (folder / "DL_info.csv").unlink()
    with pytest.raises(SourceProblem, match="DL_info"):
        DeepLesionSource(folder, workers=1)
    with pytest.raises(SourceProblem, match="Images_png"):
        DeepLesionSource(tmp_path, workers=1)


def test_another_table_and_no_slices_are_refused(tmp_path: Path) -> None:
    folder = deeplesion(tmp_path / "a", {"000001_01_01": [5]}, [])
    (folder / "DL_info.csv").write_text("patient,outcome\n1,2\n")
    with pytest.raises(SourceProblem, match="no column File_name"):
        DeepLesionSource(folder, workers=1)
    tested = deeplesion(tmp_path / "b", {"000001_01_01": [5]}, [row("000001_01_01", 5, split=3)])
    with pytest.raises(SourceProblem, match=r"no slice of train.*1 series of test"):
        DeepLesionSource(tested, workers=1)


@pytest.mark.realct
def test_real_rows_are_read_as_published(real_ct: Path, tmp_path: Path) -> None:
    table = (real_ct / "tables" / "deeplesion" / "DL_info_test.csv").read_bytes()
    (tmp_path / "Images_png" / "000001_01_01").mkdir(parents=True)
    Image.fromarray(np.zeros((512, 512), np.uint16)).save(tmp_path / "Images_png" / "000001_01_01" / "109.png")
    (tmp_path / "DL_info_test.csv").write_bytes(table)
    source = DeepLesionSource(tmp_path, splits=[Split.TEST], workers=1)
    (one,) = read(source)
    assert one.label == "mediastinum"
    assert one.pixel_mm == 0.488281
    (box,) = one.boxes
    assert box == LesionBox(89.0204, 225.169, 111.977, 241.252)
    # Every other row is of a slice that is not here, or is marked as noisy; none is unreadable.
    told = source.left_out
    assert sum("noisy" in sentence for sentence in told) == 15
    assert all("noisy" in sentence or "is not there" in sentence for sentence in told)
