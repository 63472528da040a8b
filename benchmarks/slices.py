"""The slices of a series on disk, found as intake finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.slices import SliceRef


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack of slices; `slices` are from inferior to superior, and named as their files are on disk."""

    folder: Path
    series_uid: str
    slices: tuple[SliceRef, ...]


def read_stack(folder: Path) -> Stack:
    """The one stack of the one series in `folder`."""
    options = ImportOptions()
    headers = [
        read_file_header(path, file=path.name, name=path.name, options=options) for path in sorted(folder.iterdir())
    ]
    (series,) = group_series(headers, options).series
    (stack,) = series.stacks
    return Stack(folder, series.series_uid, tuple(stack.slices))
