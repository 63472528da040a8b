"""Data sets as they are published: cases, labels, and files that a service takes, with every HU where it was."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from slicebank import BadTaskFile, DatasetProblem, InputError
from slicebank.benchmark.case import Case, Dataset
from slicebank.benchmark.datasets import open_dataset
from slicebank.benchmark.datasets.deeplesion import DeepLesion
from slicebank.benchmark.datasets.nsclc_radiomics import NsclcRadiomics
from slicebank.benchmark.datasets.rad_chestct import RadChestCT
from slicebank.benchmark.label_rules import answers_of
from slicebank.benchmark.task_file import BenchmarkTask, read_task, task_text
from tests.client.benchmark.layouts import phantom_hu, write_deeplesion, write_nsclc, write_radchest


def read_volume(folder: Path) -> tuple[list[float], np.ndarray]:
    """Positions and HU (slices, rows, columns) from inferior to superior."""
    files = sorted((dcmread(path) for path in folder.iterdir()), key=lambda data: float(data.ImagePositionPatient[2]))
    hu = np.stack([data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept) for data in files])
    return [float(data.ImagePositionPatient[2]) for data in files], hu


def shipped(name: str) -> BenchmarkTask:
    return read_task(task_text(name))


def labels_of(dataset: Dataset, task: BenchmarkTask) -> dict[str, dict[str, str]]:
    return {case.name: dict(answers_of(case, task.rules)) for case in dataset.cases()}


def test_deeplesion(tmp_path: Path) -> None:
    folder = write_deeplesion(tmp_path / "dl", [[5, 4], [-1], [2, -1], [8]])
    shutil.rmtree(folder / "Images_png" / "000004_01_01")
    task = shipped("deeplesion_sites")
    dataset = open_dataset(task, folder, None)
    labels = labels_of(dataset, task)
    assert list(labels) == ["000001_01_01", "000003_01_01"]
    assert {name for name, answer in labels["000001_01_01"].items() if answer == "1"} == {"Lung", "Liver"}
    assert Counter(labels["000003_01_01"].values()) == {"1": 1, "0": 7}
    assert dataset.left_out == ("1 of 3 labelled series have no folder of slices.",)
    case = dataset.cases()[0]
    assert case.patient == "DeepLesion-000001"
    made = dataset.files_of(case, tmp_path / "scratch")
    assert made is not None
    positions, hu = read_volume(made)
    assert np.array_equal(hu, phantom_hu(1, lesion=True))
    assert np.diff(positions) == pytest.approx([5.0] * 5)
    one = dcmread(next(made.iterdir()))
    assert (one.PatientID, [float(mm) for mm in one.PixelSpacing]) == ("DeepLesion-000001", [7.9, 7.9])


def test_noisy_rows_of_deeplesion_do_not_count(tmp_path: Path) -> None:
    folder = write_deeplesion(tmp_path / "dl", [[5, 4]])
    table = folder / "DL_info.csv"
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    rows[0][header.index("Possibly_noisy")] = "1"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (case,) = DeepLesion(folder).cases()
    assert case.facts["Coarse_lesion_type"] == ("4",)


def test_radchest(tmp_path: Path) -> None:
    folder = write_radchest(tmp_path / "rad", [["nodule", "fibrosis"], ["emphysema"], ["nodulegr1cm"]])
    (folder / "val00002.npz").rename(folder / "elsewhere.npz")
    task = shipped("radchest_findings")
    dataset = open_dataset(task, folder, None)
    labels = labels_of(dataset, task)
    assert list(labels) == ["trn00001", "trn00003"]
    assert {name for name, answer in labels["trn00001"].items() if answer == "1"} == {"Lung Nodule", "Fibrosis"}
    assert set(labels["trn00003"].values()) == {"0"}
    assert dataset.left_out == ("1 labelled volumes are not there.",)
    case = dataset.cases()[0]
    assert case.patient == "RAD-ChestCT-mrn00001"
    # Of 4,368 columns only those that the task reads are kept.
    assert not any(column.startswith("nodulegr1cm") for column in case.facts)
    made = dataset.files_of(case, tmp_path / "scratch")
    assert made is not None
    positions, hu = read_volume(made)
    assert np.array_equal(hu, phantom_hu(101, lesion=True))
    assert np.diff(positions) == pytest.approx([0.8] * 5)


def test_radchest_without_metadata(tmp_path: Path) -> None:
    dataset = RadChestCT(write_radchest(tmp_path / "rad", [["nodule"], []], metadata=False), ["nodule[*]*"])
    assert [case.patient for case in dataset.cases()] == ["RAD-ChestCT-trn00001", "RAD-ChestCT-val00002"]
    assert "each counts as a patient of its own" in dataset.left_out[0]
    positions, _ = read_volume(dataset.files_of(dataset.cases()[0], tmp_path / "scratch"))
    assert np.diff(positions) == pytest.approx([0.8] * 5)


def test_a_damaged_volume_is_named(tmp_path: Path) -> None:
    folder = write_radchest(tmp_path / "rad", [["nodule"]])
    (folder / "trn00001.npz").write_bytes(b"text")
    dataset = RadChestCT(folder, ["nodule[*]*"])
    with pytest.raises(DatasetProblem, match="trn00001"):
        dataset.files_of(dataset.cases()[0], tmp_path / "scratch")


def test_nsclc(tmp_path: Path) -> None:
    folder = write_nsclc(tmp_path / "nsclc", ["I", "IIIa", "NA", "II"])
    task = shipped("nsclc_stage")
    shutil.rmtree(folder / "NSCLC-Radiomics" / "LUNG1-004")
    dataset = open_dataset(task, folder, None)
    assert labels_of(dataset, task) == {
        "LUNG1-001": {"high_stage": "0"},
        "LUNG1-002": {"high_stage": "1"},
        "LUNG1-003": {"high_stage": ""},
    }
    assert dataset.left_out == ("1 patients of the clinical table have no folder.",)
    case = dataset.cases()[0]
    path = dataset.files_of(case, tmp_path)
    assert path is not None
    assert {str(dcmread(file).PatientID) for file in path.rglob("*.dcm")} == {"LUNG1-001"}
    before = dataset.mark(case)
    next(path.rglob("*.dcm")).unlink()
    assert dataset.mark(case) != before


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("deeplesion", "Images_png"),
        ("rad_chestct", "trn00001.npz"),
        ("nsclc_radiomics", "LUNG1-001"),
        ("imagenet", "no data set 'imagenet'"),
    ],
)
def test_an_empty_folder_is_said(tmp_path: Path, dataset: str, said: str) -> None:
    task = BenchmarkTask("x", "X", dataset, "binary")
    with pytest.raises((DatasetProblem, BadTaskFile), match=said):
        open_dataset(task, tmp_path, None)


def test_missing_tables_and_columns_are_said(tmp_path: Path) -> None:
    folder = write_deeplesion(tmp_path / "dl", [[5]])
    (folder / "DL_info.csv").write_text("File_name,Type\n000001_01_01_022.png,5\n")
    with pytest.raises(DatasetProblem, match="no column Coarse_lesion_type"):
        DeepLesion(folder)
    (folder / "DL_info.csv").unlink()
    with pytest.raises(DatasetProblem, match=r"needs one DL_info\.csv"):
        DeepLesion(folder)
    folder = write_radchest(tmp_path / "rad", [[]])
    for table in folder.glob("*Labels.csv"):
        table.unlink()
    with pytest.raises(DatasetProblem, match="Abnormality_and_Location"):
        RadChestCT(folder, ["nodule[*]*"])
    folder = write_nsclc(tmp_path / "nsclc", ["I"])
    (folder / "another clinical.csv").write_text("PatientID\n")
    with pytest.raises(DatasetProblem, match="one clinical table"):
        NsclcRadiomics(folder)


def test_own_files_and_stored_series(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "1.dcm").write_bytes(b"x")
    table = tmp_path / "labels.csv"
    table.write_text("path;patient;grade\nscan;P1;2\ngone;P2;1\n", encoding="utf-8-sig")
    dataset = open_dataset(BenchmarkTask("x", "X", "files", "multiclass"), tmp_path, table)
    assert list(dataset.cases()) == [Case("scan", "P1", {"grade": ("2",)})]
    assert dataset.left_out == ("1 paths of the table are not there, gone for one.",)
    assert dataset.files_of(dataset.cases()[0], tmp_path) == tmp_path / "scan"
    assert dataset.patient_to_say(dataset.cases()[0]) == "P1"
    table.write_text("study_uid,grade\n1.2.3,2\n")
    stored = open_dataset(BenchmarkTask("x", "X", "series", "multiclass", key="study_uid"), None, table)
    assert list(stored.cases()) == [Case("1.2.3", "", {"grade": ("2",)}, uid="1.2.3")]
    assert stored.files_of(stored.cases()[0], tmp_path) is None
    table.write_text("study_uid,grade\n1.2.3,2\n1.2.3,1\n")
    with pytest.raises(DatasetProblem, match="twice"):
        open_dataset(BenchmarkTask("x", "X", "series", "multiclass", key="study_uid"), None, table)
    with pytest.raises(InputError, match="--labels"):
        open_dataset(BenchmarkTask("x", "X", "files", "multiclass"), tmp_path, None)
    with pytest.raises(InputError, match="--data"):
        open_dataset(shipped("nsclc_stage"), None, None)


@pytest.mark.realct
def test_the_real_clinical_table(real_ct: Path, tmp_path: Path) -> None:
    shutil.copy(real_ct / "tables" / "nsclc_radiomics" / "clinical.csv", tmp_path)
    for number in range(1, 423):
        (tmp_path / f"LUNG1-{number:03d}").mkdir()
    task = shipped("nsclc_stage")
    labels = labels_of(NsclcRadiomics(tmp_path), task)
    # Stages I 93, II 40, IIIa 112, IIIb 176, and one patient without.
    assert Counter(answers["high_stage"] for answers in labels.values()) == {"1": 288, "0": 133, "": 1}
    assert labels["LUNG1-272"] == {"high_stage": ""}


@pytest.mark.realct
def test_the_real_lesion_table(real_ct: Path, tmp_path: Path) -> None:
    table = real_ct / "tables" / "deeplesion" / "DL_info_test.csv"
    shutil.copy(table, tmp_path)
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["Possibly_noisy"] == "0"]
    expected: dict[str, set[str]] = {}
    for row in rows:
        expected.setdefault(row["File_name"][:12], set()).add(row["Coarse_lesion_type"])
    for name in expected:
        (tmp_path / "Images_png" / name).mkdir(parents=True)
    task = shipped("deeplesion_sites")
    labels = labels_of(DeepLesion(tmp_path), task)
    assert len(labels) == len(expected) > 2000
    code = {label: rule.positive[0] for label, rule in task.rules.items()}
    for name, answers in labels.items():
        assert {code[label] for label, answer in answers.items() if answer == "1"} == expected[name]
