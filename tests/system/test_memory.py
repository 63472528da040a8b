"""The worker's memory does not grow with the series."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system.conftest import Service, wait_until

pytestmark = [pytest.mark.system, pytest.mark.realct]

GROWTH_KIB = 1024 * 1024


def status_kib(pid: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1))


def test_peak_on_the_275_slice_series(own_service: Service, real_ct: Path) -> None:
    client = own_service.client
    wait_until(lambda: "encoder_loaded" in own_service.log("embed"), "the default encoder's weights")
    (pid,) = own_service.pids("slicebank_worker embed")
    before = status_kib(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # starts the high-water mark anew
    upload = client.series.upload(real_ct / "ct" / "philips_chest_abdomen").series[0]
    client.jobs.wait(upload.job_id or "", timeout=300)
    assert client.bags.get(upload.bag_id or "").n_rows == 550
    peak = status_kib(pid, "VmHWM")
    assert peak - before < GROWTH_KIB, f"{before} KiB before, {peak} KiB at the peak"
