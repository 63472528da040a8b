"""Walking what a user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicebank.errors import PathNotFound
from slicebank.upload.discover import discover

DICOM = bytes(128) + b"DICM" + bytes(20)


def plant(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DICOM)
    return root


def names(found: object) -> list[str]:
    return [item.name for folder in found.folders for item in folder.walk()]  # type: ignore[attr-defined]


def test_a_tree_keeps_its_folders_in_names(tmp_path: Path) -> None:
    found = discover([plant(tmp_path / "cohort", "b/2", "a/1", "a/x/3")])
    assert names(found) == ["cohort/a/1", "cohort/a/x/3", "cohort/b/2"]


def test_junk_is_left_out_and_named(tmp_path: Path) -> None:
    root = plant(tmp_path / "r", "1")
    (root / "labels.csv").write_text("a,b")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "2").write_bytes(DICOM)
    found = discover([root])
    assert names(found) == ["r/1"]
    assert [(item.name, item.reason) for item in found.skipped] == [("r/labels.csv", "a .csv file, not DICOM")]


def test_archives_in_a_tree_are_found(tmp_path: Path) -> None:
    root = plant(tmp_path / "r", "1")
    (root / "study.zip").write_bytes(b"PK\x03\x04")
    (root / "study.tar.gz").write_bytes(b"\x1f\x8b")
    assert [item.name for item in discover([root]).archives] == ["r/study.tar.gz", "r/study.zip"]


def test_a_named_file_is_sent_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert names(discover([path])) == ["notes.txt"]


def test_the_index_of_a_medium_stands_for_the_medium(tmp_path: Path) -> None:
    plant(tmp_path / "disc", "DICOMDIR", "ct/1", "ct/2")
    assert names(discover([tmp_path / "disc" / "DICOMDIR"])) == ["disc/ct/1", "disc/ct/2"]


def test_named_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.dcm", "b/1.dcm", "b/2.dcm")
    found = discover([tmp_path / "a/1.dcm", tmp_path / "b/1.dcm", tmp_path / "b/2.dcm", tmp_path / "a/1.dcm"])
    assert names(found) == ["a/1.dcm", "b/1.dcm", "2.dcm", "2/a/1.dcm"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    root = plant(tmp_path / "r", "1")
    (root / "loop").symlink_to(root)
    (root / "linked").symlink_to(root / "1")
    (root / "dangling").symlink_to(root / "nowhere")
    assert names(discover([root])) == ["r/1", "r/linked"]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound) as caught:
        discover([tmp_path / "nowhere"])
    assert "nowhere" in str(caught.value)
