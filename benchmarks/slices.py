"""The slices of a series on disk, found as intake finds them."""

from __future__ import annotations

from pathlib import Path

from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.slices import SliceRef


def slices_of(folder: Path) -> tuple[SliceRef, ...]:
    """The slices of the one series in `folder`, inferior to superior; its files are named as they are on disk."""
    options = ImportOptions()
    headers = [
        read_file_header(path, file=path.name, name=path.name, options=options) for path in sorted(folder.iterdir())
    ]
    (series,) = group_series(headers, options).series
    (stack,) = series.stacks
    return tuple(stack.slices)
