"""Python, the packages of each extra, the data folder and its disk."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from slicebank.doctor.finding import Finding, State

OLDEST_PYTHON = (3, 11)
# A bag of 500 slices is about 3 MB with thumbnails, kept pixels 250 MB; staging holds whole uploads for a while.
LITTLE_DISK_BYTES = 10 * 1000**3
NO_DISK_BYTES = 1000**3

_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_NOT_HERE = re.compile(rf"sys_platform\s*!=\s*['\"]{sys.platform}['\"]")


def examine_python(running: tuple[int, int] = (sys.version_info.major, sys.version_info.minor)) -> Finding:
    """Whether this Python is new enough."""
    spoken = ".".join(map(str, running))
    if running < OLDEST_PYTHON:
        return Finding("python", State.FAIL, spoken, "slicebank needs Python 3.11 or newer.")
    return Finding("python", State.OK, f"{spoken} ({sys.executable})")


def examine_packages(requirements: Iterable[str] | None = None) -> Iterator[Finding]:
    """The client itself, and what is missing of each extra that runs a server.

    Args:
        requirements: requirement lines of slicebank (PEP 508); those of the installed distribution by default.
    """
    lines = list(requires("slicebank") or () if requirements is None else requirements)
    yield Finding("slicebank", State.OK, f"client {version('slicebank')}")
    for extra, does in (("service", "run the API (`slicebank serve`)"), ("worker", "embed and train")):
        missing = sorted(name for name in packages_of(lines, extra) if not _is_installed(name))
        if missing:
            yield Finding(
                f"extra {extra}",
                State.WARN,
                f"missing {', '.join(missing)}",
                f"To {does} on this machine: pip install 'slicebank[service,worker]'",
            )
        else:
            yield Finding(f"extra {extra}", State.OK, "installed")


def packages_of(requirements: Iterable[str], extra: str) -> frozenset[str]:
    """Names of the packages that one extra asks for on this platform."""
    names: set[str] = set()
    for line in requirements:
        marked = _EXTRA.search(line)
        name = _NAME.match(line)
        if marked and name and marked.group(1) == extra and not _NOT_HERE.search(line) and name.group() != "slicebank":
            names.add(name.group())
    return frozenset(names)


def examine_data_dir(folder: Path) -> Iterator[Finding]:
    """Whether the data folder can be written, and what space its disk has."""
    standing = next(path for path in (folder, *folder.parents) if path.exists())
    if folder.exists() and not folder.is_dir():
        yield Finding("data folder", State.FAIL, f"{folder} is a file", "Name a folder with --data-dir.")
        return
    if not os.access(standing, os.W_OK | os.X_OK):
        yield Finding(
            "data folder",
            State.FAIL,
            f"{standing} cannot be written",
            "Name another folder with --data-dir or SLICEBANK_DATA_DIR, or mend its permissions.",
        )
    else:
        yield Finding("data folder", State.OK, f"{folder}{'' if folder.exists() else ' (not made yet)'}")
    yield examine_disk(shutil.disk_usage(standing).free)


def examine_disk(free: int) -> Finding:
    """Whether `free` bytes are enough to work with."""
    spoken = f"{free / 1000**3:.1f} GB free"
    if free < NO_DISK_BYTES:
        return Finding("disk", State.FAIL, spoken, "Uploads will be refused; free some space or move the data folder.")
    if free < LITTLE_DISK_BYTES:
        return Finding("disk", State.WARN, spoken, "A large upload may not fit; free some space.")
    return Finding("disk", State.OK, spoken)


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
