"""Task files: those that ship, and what is wrong with others in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicebank import BadTaskFile
from slicebank.benchmark.task_file import read_task, shipped_tasks, task_text

GOOD = 'name = "own"\ntitle = "Own"\ndataset = "files"\nkind = "binary"\n'


def test_the_papers_three_tasks_ship() -> None:
    tasks = {read_task(task_text(name)).table: read_task(task_text(name)) for name in shipped_tasks()}
    assert {table: (task.name, task.dataset) for table, task in tasks.items()} == {
        2: ("deeplesion_sites", "deeplesion"),
        3: ("radchest_findings", "rad_chestct"),
        4: ("nsclc_stage", "nsclc_radiomics"),
    }
    # Both windows for task 1, lung alone for 2 and 3; a test set for 1 and 2, nested cross-validation for 3.
    assert [tasks[table].windows for table in (2, 3, 4)] == [("abdomen", "lung"), ("lung",), ("lung",)]
    assert [tasks[table].training["test_fraction"] for table in (2, 3, 4)] == [0.2, 0.2, 0.0]
    assert tasks[4].protocol == {"validation": "nested"}
    assert tasks[4].metrics == ("auroc", "auprc", "f1")
    assert all(len(task.published) == 13 for task in tasks.values())
    # Everything else is the service's default, which is the paper's.
    assert all(set(task.training) == {"test_fraction"} for task in tasks.values())


def test_columns_stand_in_the_papers_order() -> None:
    task = read_task(task_text("deeplesion_sites"))
    assert task.labels == ("Abdomen", "Mediastinum", "Pelvis", "Bone", "Soft Tissue", "Kidney", "Liver", "Lung")
    # DL_info.csv: 1 bone, 2 abdomen, 3 mediastinum, 4 liver, 5 lung, 6 kidney, 7 soft tissue, 8 pelvis.
    assert [task.rules[label].positive for label in task.labels] == [(str(code),) for code in (2, 3, 8, 1, 7, 6, 4, 5)]


def test_a_small_task_takes_defaults() -> None:
    task = read_task(GOOD)
    assert (task.key, task.windows, task.metrics, task.labels) == ("series_uid", (), ("auroc",), ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "no TOML"),
        (GOOD + "colour = 1", "unknown key colour"),
        (GOOD.replace('"own"', '"../own"'), "names a folder"),
        (GOOD.replace("binary", "ternary"), "kind is 'ternary'"),
        (GOOD.replace('title = "Own"\n', ""), "needs a text title"),
        (GOOD + 'key = "name"', "series_uid, study_uid, patient"),
        (GOOD + 'windows = "lung"', "windows must be a list"),
        (GOOD + "table = -1", "table must be"),
        (GOOD + "training = 3", "training must be a table"),
        (GOOD + "[labels.a]\npositive = ['1']", "labels.a must name its columns"),
        (GOOD + "[labels.a]\ncolumns = ['x']\npositve = ['1']", "labels.a"),
        (GOOD + "[figure3]\ncase = 'x'", "figure3 has the unknown key case"),
        (GOOD + "[[published]]\nmodel = 'x'\nmean = [1]\nsd = []", "published row"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(BadTaskFile, match=said):
        read_task(text)


def test_a_task_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(BadTaskFile, match="nsclc_stage"):
        task_text("nowhere")
    (tmp_path / "latin.toml").write_bytes(b"title = '\xe4'")
    with pytest.raises(BadTaskFile, match="UTF-8"):
        task_text(str(tmp_path / "latin.toml"))
