"""Looking at folders that others may be removing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def statuses_below(folder: Path) -> Iterator[os.stat_result]:
    """Of every file and folder below a folder; what has gone meanwhile, the folder itself too, is passed over."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                status = (Path(root) / name).stat()
            except FileNotFoundError:
                continue
            yield status
