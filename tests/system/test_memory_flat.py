"""The worker's memory does not depend on how long a series is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.long_series import SeriesWriter
from benchmarks.processes import peak_mib, reset_peak
from tests.system.conftest import Service, wait_until

pytestmark = pytest.mark.system

# Costs nothing, so that long series pass quickly; what a network needs depends on the batch, never on the series.
ENCODER = "dummy"


def growth_mib(service: Service, folder: Path, *, matrix: int, short: int, long: int) -> float:
    """How much higher the worker's peak is with a long series than with a short one."""
    wait_until(lambda: "encoder_loaded" in service.log("embed"), "the default encoder's weights")
    (pid,) = service.pids("slicebank_worker embed")
    writer = SeriesWriter(matrix=matrix)
    peaks = []
    for n_slices in (short, short, long):  # the first loads what every job needs
        writer.write(folder, n_slices, f"memory-{matrix}-{n_slices}-{len(peaks)}")
        reset_peak(pid)
        upload = service.client.series.upload(folder, encoder=ENCODER).series[0]
        shutil.rmtree(folder)
        service.client.jobs.wait(upload.job_id or "", timeout=400)
        assert service.client.bags.get(upload.bag_id or "").n_slices == n_slices
        peaks.append(peak_mib(pid))
    return peaks[2] - peaks[1]


def test_ten_times_the_slices(service: Service, tmp_path: Path) -> None:
    assert growth_mib(service, tmp_path / "ct", matrix=256, short=40, long=400) < 100


@pytest.mark.slow
def test_three_thousand_slices(service: Service, tmp_path: Path) -> None:
    assert growth_mib(service, tmp_path / "ct", matrix=512, short=50, long=3000) < 200
