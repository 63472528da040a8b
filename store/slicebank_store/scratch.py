"""Files in the making: a folder a process, swept when its process is gone, however that ended.

They hold rows and pixels of patients, so a killed process must not leave them behind for good.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOCK_SUFFIX = ".lock"


@contextmanager
def open_scratch(root: Path, name: str) -> Iterator[Path]:
    """A private folder of this process, where its temporary files go too; removes the folders of processes that died.

    A process is known to be dead when the lock beside its folder can be had: the kernel frees it with the process.

    Args:
        root: folder of all scratch folders, on a disk of this machine; made where it is missing.
        name: begins the folder's name, for people to read.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One process at a time: a folder that is being made must not be taken for a dead one's.
    with (root / _LOCK_SUFFIX).open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        _sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        lock = _lock_of(folder).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        _remove(folder, lock)


def _sweep(root: Path) -> None:
    for path in root.glob(f"*{_LOCK_SUFFIX}"):
        if path.name == _LOCK_SUFFIX:
            continue
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            _remove(path.with_suffix(""), lock)


def _remove(folder: Path, lock: IO[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # a thread may still be writing; the next process to start sweeps again
    if not folder.exists():
        _lock_of(folder).unlink(missing_ok=True)
    lock.close()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK_SUFFIX)
