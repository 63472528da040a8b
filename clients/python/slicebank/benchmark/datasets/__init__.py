"""Readers of data sets as their publishers lay them out."""

from __future__ import annotations

from pathlib import Path

from slicebank.benchmark.case import Dataset
from slicebank.benchmark.datasets.deeplesion import DeepLesion
from slicebank.benchmark.datasets.nsclc_radiomics import NsclcRadiomics
from slicebank.benchmark.datasets.own_files import OwnFiles
from slicebank.benchmark.datasets.rad_chestct import RadChestCT
from slicebank.benchmark.datasets.stored import StoredSeries
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.errors import BadTaskFile, InputError

__all__ = ["READERS", "open_dataset"]

READERS = ("deeplesion", "rad_chestct", "nsclc_radiomics", "files", "series")


def open_dataset(task: BenchmarkTask, data: Path | None, labels: Path | None) -> Dataset:
    """The data set that a task asks for.

    Raises:
        BadTaskFile: there is no such reader.
        InputError: a folder or a table is needed and not given.
        DatasetProblem: what is there is not laid out as published.
    """
    if task.dataset not in READERS:
        raise BadTaskFile(f"There is no data set {task.dataset[:40]!r}; there are {', '.join(READERS)}.")
    if task.dataset == "series":
        return StoredSeries(_needed(labels, "--labels"), task.key)
    folder = _needed(data, "--data")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", hint="--data names the folder of the data set.")
    if task.dataset == "files":
        return OwnFiles(folder, _needed(labels, "--labels"))
    if task.dataset == "deeplesion":
        return DeepLesion(folder)
    return RadChestCT(folder, task.columns) if task.dataset == "rad_chestct" else NsclcRadiomics(folder)


def _needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise InputError(f"This task needs {option}.", hint="`slicebank benchmark --list` says what each task needs.")
    return path
