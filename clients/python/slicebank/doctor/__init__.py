"""What is well with this installation and what is not, each finding with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slicebank.doctor.finding import Finding, State
from slicebank.doctor.installation import examine_data_dir, examine_packages, examine_python
from slicebank.doctor.machine import examine_broker, examine_device
from slicebank.doctor.server import examine_server
from slicebank.settings import default_data_dir

__all__ = ["Finding", "State", "examine"]


def examine(url: str | None, api_key: str | None, data_dir: Path | None) -> Iterator[Finding]:
    """Look at everything, cheap things first; each finding comes as soon as it is known."""
    yield examine_python()
    yield from examine_packages()
    yield from examine_data_dir(data_dir or default_data_dir())
    yield from examine_server(url, api_key, data_dir)
    yield examine_broker()
    yield examine_device()
