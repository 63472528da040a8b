"""What every result carries: machine, versions, commit, time. One folder a machine, so that results of several stand side by side."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.form import Form

RESULTS = Path(__file__).parent / "results"
# Not committed, and not shown in docs/performance.md.
SHORT_RESULTS = Path(__file__).parent / "results-short"
_CPU_INFO = Path("/proc/cpuinfo")
# The first that a processor has names its class: what it multiplies matrices with.
_CLASSES = (
    ("amx_bf16", "amx-bf16"),
    ("avx512_bf16", "avx512-bf16"),
    ("avx512f", "avx512"),
    ("avx2", "avx2"),
    ("asimd", "neon"),
)


def save(name: str, question: str, figures: dict[str, Any], form: Form, *, gpu: str | None = None) -> Path:
    """Writes one result; the newest of its form stands under the benchmark's name in the folder of its machine.

    Args:
        name: of the benchmark.
        question: what it answers, a sentence.
        figures: JSON.
        form: short or full.
        gpu: name of the device, where the figures are a GPU's.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    document = {
        "benchmark": name,
        "question": question.strip(),
        "form": form.value,
        "figures": figures,
        "machine": machine(gpu),
        "versions": {package: version(package) for package in ("slicebank", "torch", "timm", "numpy", "pydicom")},
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = (RESULTS if form is Form.FULL else SHORT_RESULTS) / folder_name(gpu) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def machine(gpu: str | None = None) -> dict[str, Any]:
    """The machine that this runs on; `class` says what its processor multiplies matrices with."""
    return {
        "cpu": _read("model name") or platform.processor(),
        "class": _instruction_class(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": gpu,
        "system": platform.system(),
    }


def folder_name(gpu: str | None = None) -> str:
    """A folder's name for this machine: processor, class and cores, or the GPU."""
    here = machine(gpu)
    words = gpu or f"{here['cpu']} {here['class']} {here['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _instruction_class() -> str:
    flags = set((_read("flags") or _read("Features") or "").split())
    return next((name for flag, name in _CLASSES if flag in flags), platform.machine())


def _read(key: str) -> str | None:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)
