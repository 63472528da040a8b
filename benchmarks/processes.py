"""The processes of a running service, as /proc shows them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")


def worker_pid(data_dir: Path, role: str) -> int:
    """Process id of the worker of one role that `serving(data_dir)` started.

    Raises:
        RuntimeError: there is none.
    """
    mine = f"SLICEBANK_DATA_DIR={data_dir.resolve()}"
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if "slicebank_worker" in words and role in words and mine in _environment(entry):
                return int(entry.name)
        except OSError:
            continue  # it ended while we looked
    raise RuntimeError(f"no {role} worker runs for {data_dir}")


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    pairs = (line.partition("=") for line in _environment(_PROC / str(pid)) if line)
    return {name: value for name, _, value in pairs}


def reset_peak(pid: int) -> None:
    """Starts a process's high-water mark of resident memory anew (proc(5), clear_refs)."""
    (_PROC / str(pid) / "clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """Most resident memory (VmHWM) of a process since `reset_peak`, MiB."""
    return _status_mib(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """Resident memory (VmRSS) of a process now, MiB."""
    return _status_mib(pid, "VmRSS")


def has_logged(log: Path, *events: str) -> bool:
    """Whether a process of the service has written each of these events to its log."""
    if not log.exists():
        return False
    lines = (line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("{"))
    return set(events) <= {json.loads(line).get("event") for line in lines if line.endswith("}")}


def services_ready(data_dir: Path) -> None:
    """Waits until every worker that `serving(data_dir)` started is ready for jobs, so that none is still loading while we measure."""
    logs = data_dir / "logs"
    wait_until(
        lambda: (
            has_logged(logs / "embed.log", "worker_ready", "encoder_loaded")
            and all(has_logged(logs / f"{role}.log", "worker_ready") for role in ("train", "predict"))
        ),
        "the workers to be ready",
        seconds=120.0,
        every_s=0.1,
    )


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 60.0, every_s: float = 0.005) -> None:
    """Looks again and again.

    Raises:
        RuntimeError: in vain.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(every_s)


def _environment(entry: Path) -> list[str]:
    return os.fsdecode((entry / "environ").read_bytes()).split("\0")


def _status_mib(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", (_PROC / str(pid) / "status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc does not tell {name} of process {pid}")
    return int(found.group(1)) / 1024
