"""`slicebank benchmark` against a whole service: each data set's own layout, several encoders, and second runs that do nothing again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicebank.benchmark.task_file import task_text
from slicebank.cli import main
from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from tests.client.benchmark.layouts import STAGES, write_deeplesion, write_nsclc, write_radchest
from tests.system.conftest import Service

pytestmark = pytest.mark.system

TWO = "hu_statistics=Statistics,dummy=Dummy-LECL-0"
THREE = f"{TWO},dummy_scan=Scan"
QUICK = "\nfolds = 2\nmax_epochs = 2\nbatch_size = 4\n"
FINDINGS = (
    "emphysema",
    "bronchiectasis",
    "pleural_effusion",
    "atelectasis",
    "fibrosis",
    "opacity",
    "calcification",
    "nodule",
)
OWN = """
name = "own"
title = "Own"
dataset = "files"
kind = "binary"
[labels.lesion]
columns = ["outcome"]
positive = ["yes"]
[training]
folds = 2
max_epochs = 2
batch_size = 4
test_fraction = 0.0
"""


def quick(name: str, folder: Path) -> Path:
    """A shipped task, trained for a moment."""
    text = task_text(name)
    assert "[training]\n" in text
    path = folder / f"{name}.toml"
    path.write_text(text.replace("[training]\n", f"[training]{QUICK}"))
    return path


@pytest.fixture
def run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """The command, with its JSON."""
    monkeypatch.setenv("SLICEBANK_STATE_DIR", str(tmp_path / "state"))

    def run_command(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["--data-dir", str(service.data_dir), "--json", "benchmark", *map(str, arguments)])
        said = capsys.readouterr()
        assert (ended.value.code or 0) == status, said.out + said.err
        return dict(json.loads(said.out))

    return run_command


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_three_data_sets_and_a_second_run(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    both = [(number % 8, (3 * number + 1) % 8) for number in range(12)]
    out = tmp_path / "out"
    asked = {
        "deeplesion_sites": (write_deeplesion(tmp_path / "dl", [[-1], *([1 + a, 1 + b] for a, b in both)]), TWO),
        "radchest_findings": (write_radchest(tmp_path / "rad", [[FINDINGS[a], FINDINGS[b]] for a, b in both]), TWO),
        "nsclc_stage": (write_nsclc(tmp_path / "nsclc", [*(STAGES * 2), "NA"]), THREE),
    }
    commands = {
        name: ("--task", quick(name, tmp_path), "--data", folder, "--encoders", encoders, "--out", out)
        for name, (folder, encoders) in asked.items()
    }
    first = {name: run(*command) for name, command in commands.items()}
    assert {name: (found["sent"], found["trained"]) for name, found in first.items()} == {
        "deeplesion_sites": (24, 2),
        "radchest_findings": (24, 2),
        "nsclc_stage": (24, 3),
    }
    windows = {name: [row["windows"] for row in found["encoders"]] for name, found in first.items()}
    # The statistics have one window of their own, the encoder of scans has none.
    assert windows == {
        "deeplesion_sites": [["full"], ["abdomen", "lung"]],
        "radchest_findings": [["full"], ["lung"]],
        "nsclc_stage": [["full"], ["lung"], []],
    }
    for found in first.values():
        for row in found["encoders"]:
            assert list(row["scores"]) == found["labels"]
            assert all(len(values["auroc"]) == 2 for values in row["scores"].values())
    # Test patients are held out of the first two tasks; the third is nested, and has none.
    assert [found["judged_on"] for found in first.values()] == ["test", "test", "validation"]
    page = (out / "benchmark.md").read_text()
    for heading in ("Table 2. DeepLesion", "Table 3. RAD-ChestCT", "Table 4. NSCLC-Radiomics"):
        assert heading in page
    assert "12 of 12 patients" in page
    assert "validation nested" in page
    # The first two show a case that no head learned from.
    assert page.count("its patient is not among those that the heads learned from") >= 2
    assert "1 cases without a known label are left out" in page
    assert "| Model | Abdomen | Mediastinum |" in (out / "deeplesion_sites" / "table.md").read_text()
    with (out / "nsclc_stage" / "table.csv").open() as file:
        figures = {(row["label"], row["metric"]) for row in csv.DictReader(file)}
    assert figures == {("high_stage", "auroc"), ("high_stage", "auprc"), ("high_stage", "f1")}
    for name in commands:
        assert "image/png" in (out / name / "figure3.svg").read_text()

    before = files_of(out)
    drawn = {path: path.stat().st_mtime_ns for path in out.rglob("*.svg")}
    for name, command in commands.items():
        again = run(*command)
        assert (again["sent"], again["trained"]) == (0, 0), name
    assert files_of(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.svg")} == drawn
    assert len(drawn) == 4


def test_own_cohort_goes_on_with_what_changed(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    rows = []
    for number in range(8):
        phantom = make_phantom(PhantomSpec(seed=900 + number, n_slices=3, size=32))
        write_dicom(phantom, tmp_path / "data" / f"scan-{number}", header=PhantomHeader(patient_id=f"OWN-{number}"))
        rows.append([f"scan-{number}", "yes" if number % 2 else "no"])
    (tmp_path / "data" / "broken").mkdir()
    (tmp_path / "data" / "broken" / "1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    task, labels, out = tmp_path / "own.toml", tmp_path / "labels.csv", tmp_path / "out"
    task.write_text(OWN)

    def write_labels(rows: list[list[str]]) -> None:
        with labels.open("w", newline="") as file:
            csv.writer(file).writerows([["path", "outcome"], *rows])

    def again(encoders: str, *, status: int = 0) -> dict[str, Any]:
        return run( "--task", task, "--data", tmp_path / "data", "--labels", labels,
            "--encoders", encoders, "--out", out, status=status,
        )  # fmt: skip

    write_labels([*rows, ["broken", "yes"]])
    first = again("dummy", status=1)
    assert list(first["failed_cases"]) == ["broken"]
    assert any(sentence.startswith("broken is left out: ") for sentence in first["left_out"])
    assert (first["trained"], first["encoders"][0]["n_cases"]) == (1, 8)
    # One more encoder: only that is embedded and trained.
    write_labels(rows)
    second = again("dummy,hu_statistics")
    assert (second["sent"], second["trained"]) == (8, 1)
    assert second["encoders"][0]["head_id"] == first["encoders"][0]["head_id"]
    # Another answer: nothing is sent, both heads are trained anew.
    write_labels([[rows[0][0], "yes"], *rows[1:]])
    third = again("dummy,hu_statistics")
    assert (third["sent"], third["trained"]) == (0, 2)
    assert third["encoders"][0]["head_id"] != first["encoders"][0]["head_id"]
    # The same series by what the service knows them by: nothing to send, and the same figures.
    lines = [json.loads(line) for line in (out / "bags" / "files" / "dummy.jsonl").read_text().splitlines() if line]
    series = {line["case"]: line["series"][0] for line in lines}
    with labels.open("w", newline="") as file:
        answers = [[series[path], outcome] for path, outcome in [[rows[0][0], "yes"], *rows[1:]]]
        csv.writer(file).writerows([["series_uid", "outcome"], *answers])
    task.write_text(OWN.replace('"files"', '"series"').replace('"own"', '"stored"'))
    stored = run("--task", task, "--labels", labels, "--encoders", "dummy", "--out", tmp_path / "other")
    assert (stored["sent"], stored["trained"]) == (0, 1)
    assert stored["encoders"][0]["scores"] == third["encoders"][0]["scores"]
