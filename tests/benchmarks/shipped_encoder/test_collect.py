"""From clones to folders and tables, and from there to what `slicebank pretrain cache` takes."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.shipped_encoder.checkouts import CheckoutProblem, open_checkout
from benchmarks.shipped_encoder.collect import collect
from benchmarks.shipped_encoder.sources import BoxRepository, Collection, ShelfFolder, SliceRepository, Sources
from slicebank_worker.pretraining.box_table import BoxTable
from slicebank_worker.pretraining.dicom_boxes import DicomSource
from tests.benchmarks.shipped_encoder.making import TITLE, tcia_slice
from tests.imaging.making import write

VOC = "<a><object><name>A</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>8</xmax><ymax>9</ymax></bndbox></object></a>"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """Of a clone that has moved on since."""
    clone = tmp_path / "clones" / "o+n"
    for number in (1, 2, 3):
        write(clone / "data" / "ser ies" / f"{number}.dcm", tcia_slice(number))
    write(clone / "data" / "again.dcm", tcia_slice(2))
    write(clone / "data" / "coronal.dcm", tcia_slice(4, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    write(clone / "data" / "picture.png", tcia_slice(5))
    write(clone / "elsewhere" / "6.dcm", tcia_slice(6))
    for name in ("1.2.3.3.2", "1.2.3.3.3", "1.2.3.3.4"):
        (clone / "boxes").mkdir(exist_ok=True)
        (clone / "boxes" / f"{name}.xml").write_text(f"<!-- {name} -->{VOC}")
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "first")
    commit = git(clone, "rev-parse", "HEAD")
    git(clone, "rm", "-q", "-r", "data")
    git(clone, "commit", "-q", "-m", "second")
    return commit


def sources(commit: str, *, slices: int = 3, left_out: tuple[str, ...] = ()) -> Sources:
    return Sources(
        {"a": Collection(TITLE, "CC BY 4.0", "cite")},
        (SliceRepository("o/n", commit, "data/", "a", "none", slices),),
        (BoxRepository("lung_pet_ct_dx", "o/n", commit, "boxes/", "*.xml", "a", "CC BY 4.0", "cite", 2, left_out),),
        (ShelfFolder("ct/one", "one", "p/q", "", "MIT", 1),),
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_slices_and_tables(commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = write(tmp_path / "shelf" / "ct" / "one" / "x", tcia_slice(9, SeriesInstanceUID="1.2.3.7", PatientID="Q"))
    out = tmp_path / "out"
    collect(sources(commit), tmp_path / "clones", out, tmp_path / "shelf")
    taken = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert taken == [
        *(f"a/P1/1.2.3.2/1.2.3.3.{number}.dcm" for number in (1, 2, 3)),
        "boxes.csv",
        "shelf/one/x",
        "sources.csv",
    ]
    assert (out / "shelf" / "one" / "x").read_bytes() == original.read_bytes()
    assert [(row["path"], row["slices"], row["terms"], row["patient"]) for row in rows(out / "sources.csv")] == [
        ("data", "3", "CC BY 4.0", "P1"),
        ("ct/one", "1", "MIT", "Q"),
    ]
    assert [row["sop_instance_uid"] for row in rows(out / "boxes.csv")] == ["1.2.3.3.2", "1.2.3.3.3"]
    said = capsys.readouterr().out
    assert "a from o/n: 3 slices; left out: 1 not axial, 1 taken before" in said
    assert "4 slices in 2 series; 2 boxes on 2 slices" in said
    assert "DIFFERS" not in said


def test_the_command_reads_what_was_collected(commit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    collect(sources(commit), tmp_path / "clones", out, None)
    table = BoxTable(out / "boxes.csv")
    table.users = 1
    slices = list(DicomSource(out, boxes=table, workers=1).slices())
    assert [len(item.boxes) for item in slices] == [0, 1, 1]
    box = slices[1].boxes[0]
    assert (box.row_start, box.column_start, box.row_stop, box.column_stop) == (4, 3, 9, 8)
    assert slices[1].label == "lung tumour A"


def test_what_differs_from_the_record_is_said(commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = git(tmp_path / "clones" / "o+n", "rev-parse", f"{commit}:boxes/1.2.3.3.2.xml")
    collect(sources(commit, slices=7, left_out=(blob,)), tmp_path / "clones", tmp_path / "out", None)
    said = capsys.readouterr().out
    assert "DIFFERS: sources.toml says 7 slices" in said
    assert "1 boxes; left out: 1 left out by name" in said
    assert "DIFFERS: sources.toml says 2 boxes" in said


def test_content_that_a_clone_lacks_is_counted(commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = tmp_path / "clones" / "o+n"
    for name in ("data/ser ies/1.dcm", "boxes/1.2.3.3.2.xml"):
        blob = git(clone, "rev-parse", f"{commit}:{name}")
        (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    collect(sources(commit), tmp_path / "clones", tmp_path / "out", None)
    said = capsys.readouterr().out
    assert "2 slices; left out: 1 not axial, 1 not in the clone, 1 taken before" in said
    assert "1 boxes; left out: 1 not in the clone" in said


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("place", ["o+n", "o/n", "o+n/repo"])
def test_clones_are_found(place: str, bare: bool, commit: str, tmp_path: Path) -> None:
    target = tmp_path / "others" / place
    target.parent.mkdir(parents=True, exist_ok=True)
    git(tmp_path, "clone", "-q", *(["--bare"] if bare else []), str(tmp_path / "clones" / "o+n"), str(target))
    names = [file.path for file in open_checkout(tmp_path / "others", "o/n", commit).files("data/ser ies")]
    assert names == [f"data/ser ies/{number}.dcm" for number in (1, 2, 3)]


def test_nothing_is_written_unless_all_is_there(commit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CheckoutProblem, match=r"lacks commit 0{40} of o/n"):
        collect(sources("0" * 40), tmp_path / "clones", out, None)
    other = replace(sources(commit).slices[0], repository="o/m")
    with pytest.raises(CheckoutProblem, match=r"git clone --bare https://github\.com/o/m"):
        collect(replace(sources(commit), slices=(other,)), tmp_path / "clones", out, None)
    with pytest.raises(FileNotFoundError, match="lacks ct/one"):
        collect(sources(commit), tmp_path / "clones", out, tmp_path)
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(commit: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        collect(sources(commit), tmp_path / "clones", tmp_path / "out", None)
    shutil.rmtree(tmp_path / "out")


def test_identifiers_cannot_leave_the_folder(commit: str, tmp_path: Path) -> None:
    clone = tmp_path / "clones" / "o+n"
    write(clone / "data" / "x.dcm", tcia_slice(1, PatientID="../../up"))
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "third")
    out = tmp_path / "out"
    collect(sources(git(clone, "rev-parse", "HEAD"), slices=1), tmp_path / "clones", out, None)
    assert [path.name for path in (out / "a").iterdir()] == ["_.._up"]
