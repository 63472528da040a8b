"""Processes are killed in the middle of work; the work is done all the same, and nothing half-made is ever seen."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import pytest

from slicebank import Client, NotReady, SlicebankError, UploadedSeries
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.system.conftest import Service, session_processes, start_service, stop_service, wait_until

pytestmark = pytest.mark.system

# 80 rows that sleep 0.05 s each: two seconds and more of work, however fast the machine is.
SLICES = 40
WINDOWS = 2
WORKER = "slicebank_worker embed"
CHILDREN = (WORKER, "slicebank_service --fd", "valkey-server", "slicebank_worker predict", "slicebank_worker train")


def half_done(service: Service, folder: Path, seed: int) -> UploadedSeries:
    """Uploads a series and waits until its job is in the middle."""
    write_dicom(make_phantom(PhantomSpec(seed=seed, n_slices=SLICES, size=64), []), folder)
    series = service.client.series.upload(folder, encoder="sleep").series[0]
    wait_until(lambda: service.client.jobs.get(series.job_id or "").progress.done > 0, "the job to be under way")
    return series


def assert_whole(service: Service, series: UploadedSeries, folder: Path) -> None:
    """The job has succeeded, and there is one bag of the series, which is whole."""
    client = service.client
    job = client.jobs.wait(series.job_id or "", timeout=180)
    assert job.state == "succeeded"
    assert job.attempts == 1, "a crash is not the job's fault"
    assert [bag.bag_id for bag in client.bags.list(series_uid=series.series_uid)] == [series.bag_id]
    with h5py.File(client.bags.download(series.bag_id or "", folder / f"{series.bag_id}.h5")) as file:
        assert file["feats"].shape == (SLICES * WINDOWS, 16)


def assert_nothing_left(service: Service, n_bags: int) -> None:
    """There are so many bags and nothing that was on the way to one."""
    blobs = [path for path in (service.data_dir / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == n_bags
    assert all(path.suffix == ".h5" for path in blobs)
    wait_until(lambda: not any((service.data_dir / "staging").iterdir()), "staging to be empty")
    assert not [path for path in (service.data_dir / "scratch").rglob("*") if path.suffix in (".bag", ".pixels")]


def answers(client: Client) -> bool:
    try:
        list(client.encoders.list())
    except SlicebankError:
        return False
    return True


def test_each_process_is_killed_in_the_middle_of_a_job(own_service: Service, tmp_path: Path) -> None:
    client = own_service.client
    for number, word in enumerate(CHILDREN):
        series = half_done(own_service, tmp_path / f"ct-{number}", seed=number)
        (before,) = own_service.pids(word)
        os.kill(before, signal.SIGKILL)
        if word == WORKER:
            assert client.jobs.get(series.job_id or "").state == "running"
            assert not list(client.bags.list(series_uid=series.series_uid))
            assert not list((own_service.data_dir / "blobs").rglob("*.h5"))
            with pytest.raises(NotReady):
                client.bags.get(series.bag_id or "")
        wait_until(lambda: own_service.pids(word) not in ([], [before]), f"{word} to come back")  # noqa: B023
        wait_until(lambda: answers(client), "the API to answer")
        assert_whole(own_service, series, tmp_path)
    assert_nothing_left(own_service, len(CHILDREN))


def test_all_processes_are_killed_at_once_in_the_middle_of_a_job(own_service: Service, tmp_path: Path) -> None:
    series = half_done(own_service, tmp_path / "ct", seed=9)
    pids = session_processes(own_service.process.pid)
    assert len(pids) >= 6
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    own_service.process.wait(30)
    wait_until(lambda: not session_processes(own_service.process.pid), "every process to end")
    (own_service.data_dir / "client.json").unlink()  # the dead supervisor's; a new one writes its own
    again = start_service(own_service.data_dir, SLICEBANK_LEASE_SECONDS="3", SLICEBANK_SWEEP_SECONDS="0.5")
    try:
        assert_whole(again, series, tmp_path)
        assert_nothing_left(again, 1)
    finally:
        stop_service(again)


def test_children_end_with_a_killed_supervisor(own_service: Service) -> None:
    assert len(session_processes(own_service.process.pid)) >= 6
    own_service.process.kill()
    own_service.process.wait(30)
    wait_until(lambda: not session_processes(own_service.process.pid), "the children to end")
    time.sleep(0.2)
    assert not session_processes(own_service.process.pid)
