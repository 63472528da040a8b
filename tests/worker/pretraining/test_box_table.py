from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox
from slicebank_worker.pretraining.box_table import BoxTable, SliceKey

KEY = SliceKey("1.2.3", "1.2", 7, "study/series/a.dcm")
HEADER = "sop_instance_uid,x_min,y_min,x_max,y_max"


def table(folder: Path, text: str | bytes) -> BoxTable:
    path = folder / "boxes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = BoxTable(path)
    made.users = 1
    return made


@pytest.mark.parametrize(
    "text",
    [
        "sop_instance_uid,x_min,y_min,x_max,y_max\n1.2.3,1,2,3.5,4\n",
        "\ufeffSOPInstanceUID;X1;Y1;X2;Y2\n1.2.3;1;2;3,5;4\n",
        "SOP Instance UID\tXmin\tYmin\tXmax\tYmax\r\n1.2.3\t1\t2\t3.5\t4\r\n",
        "label,series_uid,instance_number,xmin,ymin,xmax,ymax\n,1.2,7,1,2,3.5,4\n",
        "SeriesInstanceUID,InstanceNumber,x,y,width,height\n1.2,7.0,1,2,2.5,2\n",
        "file,x_min,y_min,x_max,y_max\nstudy/series/a.dcm,1,2,3.5,4\n",
        "file,x_min,y_min,x_max,y_max\na.dcm,1,2,3.5,4\n",
        "file,x_min,y_min,x_max,y_max\nD:\\data\\study\\series\\a.dcm,1,2,3.5,4\n",
        '\n"sop_instance_uid","x_min","y_min","x_max","y_max"\n"1.2.3","1","2","3.5","4"\n\n',
        "\ufeffsop_instance_uid,x_min,y_min,x_max,y_max\n1.2.3,1,2,3.5,4\n".encode("utf-16"),
        "sop_instance_uid,x_min,y_min,x_max,y_max,Größe\n1.2.3,1,2,3.5,4,ß\n".encode("latin-1"),
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str | bytes) -> None:
    (row,) = table(tmp_path, text).of(KEY)
    assert row.box == LesionBox(2, 1, 4, 3.5)


def test_several_rows_of_one_slice_with_label_and_patient(tmp_path: Path) -> None:
    boxes = table(tmp_path, f"{HEADER},label,patient\n1.2.3,1,2,3,4,cyst,P7\n1.2.3,5,6,7,8,,\n9,1,2,3,4,cyst,P8\n")
    rows = boxes.of(KEY)
    assert [row.label for row in rows] == ["cyst", ""]
    assert boxes.patient_of([SliceKey("x", "y", None), KEY]) == "P7"
    assert boxes.patient_of([SliceKey("x", "y", None)]) == ""
    assert boxes.end_source() == ("boxes.csv, line 4: no slice 9 was found.",)


def test_bad_rows_are_named_by_line_and_the_others_count(tmp_path: Path) -> None:
    boxes = table(
        tmp_path,
        f"{HEADER}\n1.2.3,1,2,3,4\n1.2.3,nan,2,3,4\n1.2.3,1,2,left,4\n1.2.3,5,2,3,4\n1.2.3,1,2,3,2\n,1,2,3,4\n1.2.3,1\n"
        "1.2.3,1,2,inf,4\n",
    )
    assert len(boxes) == 1
    assert len(boxes.of(KEY)) == 1
    told = boxes.end_source()
    assert [sentence.split(":")[0].split(" names")[0] for sentence in told] == [
        f"boxes.csv, line {n}" for n in range(3, 10)
    ]
    assert "x_min is 'nan', not a number" in told[0]
    assert "x 5 to 3" in told[2]
    assert "names no slice" in told[4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "must have"),
        ("x_min,y_min,x_max,y_max\n1,2,3,4\n", "must have"),
        ("series_uid,x_min,y_min,x_max,y_max\n1,1,2,3,4\n", "must have"),
        ("file,x_min,y_min,x_max\na,1,2,3\n", "must have"),
        (f"{HEADER}\n", "no usable row"),
        (f"{HEADER}\n1.2.3,a,b,c,d\n", "line 2: x_min"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceProblem, match=said):
        table(tmp_path, text)


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="cannot be read"):
        BoxTable(tmp_path / "boxes.csv")


def test_a_field_of_megabytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="no table"):
        table(tmp_path, f"{HEADER}\n{'1' * 1_000_000},1,2,3,4\n")


def test_frames_of_one_file_need_a_column(tmp_path: Path) -> None:
    second = SliceKey("1.2.3", "1.2", 7, "a.dcm", frame=2, frames=5)
    without = table(tmp_path, f"{HEADER}\n1.2.3,1,2,3,4\n")
    assert without.of(second) == []
    assert "add a column frame" in without.end_source()[0]
    with_frames = table(tmp_path, f"{HEADER},frame\n1.2.3,1,2,3,4,2\n1.2.3,1,2,3,4,3\n")
    assert [row.frame for row in with_frames.of(second)] == [2]


def test_none_that_matches_is_a_problem_and_names_examples(tmp_path: Path) -> None:
    boxes = table(tmp_path, f"{HEADER}\n9.9,1,2,3,4\n9.8,1,2,3,4\n")
    assert not boxes.any_match([KEY])
    assert boxes.of(KEY) == []
    with pytest.raises(SourceProblem, match=r"None of the 2 rows .* line 2 names 9\.9"):
        boxes.end_source()


def test_a_table_of_two_sources_is_judged_after_both(tmp_path: Path) -> None:
    boxes = table(tmp_path, f"{HEADER}\n1.2.3,1,2,3,4\n9,1,2,3,4\n")
    boxes.users = 2
    assert boxes.end_source() == ()
    boxes.of(KEY)
    assert boxes.end_source() == ("boxes.csv, line 3: no slice 9 was found.",)


def test_a_bare_name_matches_the_end_of_a_path_and_no_other(tmp_path: Path) -> None:
    boxes = table(tmp_path, "file,x_min,y_min,x_max,y_max\nb/a.dcm,1,2,3,4\n")
    assert boxes.of(SliceKey("", "", None, "x/b/a.dcm"))
    assert not boxes.of(SliceKey("", "", None, "x/c/a.dcm"))
    assert not boxes.of(SliceKey("", "", None, "x/bb/a.dcm"))


def test_rows_are_found_by_hashed_uids_too(tmp_path: Path) -> None:
    boxes = table(tmp_path, f"{HEADER}\n1.2.3,1,2,3,4\n")
    boxes.also_by(lambda uid: f"hashed {uid}")
    assert boxes.of(SliceKey("hashed 1.2.3", "", None))
    assert boxes.end_source() == ()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(tmp_path: Path, data: bytes) -> None:
    for text in (data, HEADER.encode() + b"\n" + data):
        try:
            table(tmp_path, text)
        except SourceProblem:
            continue
