"""Labels in the shapes people have them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slicebank.errors import BadLabels
from slicebank.labels import labels_payload, read_header

TEXT = "series_uid,lesion\n1.2,1\n"


def test_a_path_its_text_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\ufeff" + TEXT, encoding="utf-8")
    assert labels_payload(path) == labels_payload(str(path)) == labels_payload(TEXT) == TEXT


def test_rows_and_mappings() -> None:
    rows = [{"series_uid": "1.2", "a": 1, "b": None}]
    assert labels_payload(rows) == rows
    assert labels_payload({"1.2": {"a": 1, "b": None}}) == rows
    assert labels_payload({"1.2": "II"}, names=("I", "II")) == [{"series_uid": "1.2", "label": "II"}]
    assert labels_payload({"p": 1}, names=("a",), key="patient") == [{"patient": "p", "a": 1}]


@pytest.mark.parametrize(
    "labels",
    ["\n", "series_uid\n1.2\n", "series_uid,lesion\n", [], {}, [{"series_uid": "1", "a": 1}, {"series_uid": "2"}]],
)
def test_tables_that_are_none(labels: Any) -> None:
    with pytest.raises(BadLabels) as caught:
        labels_payload(labels)
    assert caught.value.hint


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadLabels):
        labels_payload(tmp_path / "nowhere.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(BadLabels):
        labels_payload(tmp_path / "a.xlsx")


@pytest.mark.parametrize("text", ["patient;a;b\np;1;0", 'patient,"a",b\np,1,0', "patient\ta\tb\np\t1\t0"])
def test_header(text: str) -> None:
    assert read_header(text) == ("patient", "a", "b")
