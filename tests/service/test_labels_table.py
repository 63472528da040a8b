from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.errors import MalformedLabels
from slicebank_models.heads.targets import LabelKey, LabelTable
from slicebank_service.cohorts.table import read_labels

EXPECTED = LabelTable(LabelKey.PATIENT, ("lesion", "side"), {"A": ("1", "left"), "B": ("0", "")})


def read(labels: object) -> LabelTable:
    return read_labels(labels, max_rows=10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "labels",
    [
        "patient,lesion,side\nA,1,left\nB,0,\n",
        "\ufeffpatient;lesion;side\r\nA;1;left\r\nB;0;\r\n",
        "Patient\tlesion\tside\rA\t1\tleft\rB\t0\t",
        '\n"patient", "lesion","side"\n A , 1 , left\nB,0,\n,,\n\n'.replace(', "', ',"'),
        "patient,lesion,side\nA,1,left\nB,0,\nA,1,left\n",
        [["patient", "lesion", "side"], ["A", 1, "left"], ["B", False, None]],
        [{"patient": "A", "lesion": 1, "side": "left"}, {"patient": "B", "lesion": 0}],
    ],
)
def test_the_forms_a_table_may_have(labels: object) -> None:
    assert read(labels) == EXPECTED


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ("", "empty"),
        ("patient,lesion\n", "no rows"),
        ("series,lesion\na,1\n", "first column"),
        ("patient\na\n", "no column beside"),
        ("patient,\na,1\n", "needs a name"),
        ("patient,a,a\nx,1,1\n", "same name"),
        ("patient,a\nx,1\ny,1,1\n", "line 3"),
        ("patient,a\n,1\n", "empty first cell"),
        ("patient,a\nx,1\nx,0\n", "line 3 names the same patient as line 2"),
        ('patient,a\nx,"1\n', "not CSV"),
        ("patient,a\n" + "x" * 300 + ",1\n", "more than 256"),
        ("patient,a\n" + "".join(f"{i},1\n" for i in range(11)), "at most 10"),
        ("PK\x03\x04\x00", "no text"),
        ([[]], "first column"),
        ([{}], "first column"),
        ({"a": 1}, "list of rows"),
        (["ab", "cd"], "list of rows"),
    ],
)
def test_what_is_no_table(labels: object, sentence: str) -> None:
    with pytest.raises(MalformedLabels, match=sentence):
        read(labels)


CELLS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Zs", "Cf"]), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(CELLS, st.tuples(CELLS, CELLS), min_size=1, max_size=10),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_read(rows: dict[str, tuple[str, str]], delimiter: str, newline: str) -> None:
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter, lineterminator=newline)
    writer.writerow(["series_uid", "a", "b"])
    writer.writerows([key, *values] for key, values in rows.items())
    assert read(target.getvalue()) == LabelTable(LabelKey.SERIES_UID, ("a", "b"), rows)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=60))
def test_any_text_is_a_table_or_malformed(text: str) -> None:
    try:
        table = read("series_uid,a\n" + text)
    except MalformedLabels:
        return
    assert all(len(values) == 1 for values in table.rows.values())
