"""`slicebank serve` with a listener: real studies sent by DCMTK become bags when they are quiet."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.orthanc import free_port
from tests.system.conftest import Service, start_service, stop_service, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Service]:
    running = start_service(
        tmp_path_factory.mktemp("service") / "data",
        SLICEBANK_LISTEN_PORT=str(port),
        SLICEBANK_LISTEN_AET="BANK",
        SLICEBANK_QUIET_SECONDS="1",
        SLICEBANK_INTAKE_ENCODER="hu_statistics",
        SLICEBANK_SWEEP_SECONDS="0.5",
    )
    wait_until(lambda: accepts(port), "the listener")
    yield running
    stop_service(running)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def store(port: int, *files: Path) -> None:
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("storescu is not installed: it is in Debian's package dcmtk")
    done = subprocess.run(
        [program, "-aec", "BANK", "-xt", "-R", "127.0.0.1", str(port), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def slices_of_bags(service: Service, series_uid: str) -> list[int]:
    bags = [bag for bag in service.client.bags.list() if bag.series_uid == series_uid]
    return sorted(bag.n_slices for bag in bags)


@pytest.mark.realct
def test_a_mixed_study_becomes_one_bag(service: Service, port: int, real_ct: Path) -> None:
    folder = real_ct / "ct" / "ge_chest_with_scout_and_seg"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".csv"]
    ct = next(
        header
        for header in (pydicom.dcmread(path, stop_before_pixels=True) for path in files)
        if header.Modality == "CT" and "LOCALIZER" not in header.ImageType
    )
    store(port, *files)
    wait_until(lambda: slices_of_bags(service, ct.SeriesInstanceUID) == [135], "the bag")
    log = service.log("listen")
    assert ct.PatientID not in log
    assert ct.SOPInstanceUID not in log


def test_what_was_acknowledged_survives_the_listener(service: Service, port: int, tmp_path: Path) -> None:
    written = write_dicom(make_phantom(PhantomSpec(seed=5, n_slices=12, size=64)), tmp_path)
    store(port, *written.paths)
    (listener,) = service.pids("dicom_network")
    os.kill(listener, signal.SIGKILL)
    series_uid = pydicom.dcmread(written.paths[0]).SeriesInstanceUID
    wait_until(lambda: slices_of_bags(service, series_uid) == [12], "the bag")
    wait_until(lambda: accepts(port), "the listener again")
