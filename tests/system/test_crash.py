"""Processes are killed in the middle of work; the work is done all the same, and nothing half-made is ever seen."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import pytest

from slicebank import Client, NotReady
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.system.conftest import Service, session_processes, wait_until

pytestmark = pytest.mark.system


def phantom(folder: Path, n_slices: int = 60) -> Path:
    write_dicom(make_phantom(PhantomSpec(seed=3, n_slices=n_slices, size=256)), folder)
    return folder


def bag_files(service: Service) -> list[Path]:
    return sorted((service.data_dir / "blobs").rglob("*.h5"))


def test_kill_the_worker_in_the_middle_of_a_job(own_service: Service, tmp_path: Path) -> None:
    client = own_service.client
    upload = client.series.upload(phantom(tmp_path / "ct")).series[0]
    job_id = upload.job_id or ""
    wait_until(lambda: client.jobs.get(job_id).progress.done > 0, "the job to be under way")
    first = own_service.pids("slicebank_worker embed")
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    assert client.jobs.get(job_id).state == "running"
    assert not list(client.bags.list(series_uid=upload.series_uid))
    assert not bag_files(own_service)
    with pytest.raises(NotReady):
        client.bags.get(upload.bag_id or "")
    job = client.jobs.wait(job_id, timeout=180)
    assert job.state == "succeeded"
    assert own_service.pids("slicebank_worker embed") != first
    bags = list(client.bags.list(series_uid=upload.series_uid))
    assert [bag.bag_id for bag in bags] == [upload.bag_id]
    assert len(bag_files(own_service)) == 1
    with h5py.File(client.bags.download(bags[0].bag_id, tmp_path / "bag.h5")) as file:
        assert file["feats"].shape == (120, 288)
    assert not any((own_service.data_dir / "staging").iterdir())


@pytest.mark.parametrize("word", ["slicebank_service --fd", "valkey-server", "slicebank_worker predict"])
def test_a_child_that_dies_is_started_again(own_service: Service, word: str) -> None:
    before = own_service.pids(word)
    assert len(before) == 1
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(own_service.pids(word)) == 1 and own_service.pids(word) != before, f"{word} to come back")
    wait_until(lambda: answers(own_service.client), "the API to answer")


def answers(client: Client) -> bool:
    try:
        list(client.encoders.list())
    except Exception:  # noqa: BLE001 - whatever it is, the API does not answer yet
        return False
    return True


def test_children_end_with_a_killed_supervisor(own_service: Service) -> None:
    assert len(session_processes(own_service.process.pid)) >= 6
    own_service.process.kill()
    own_service.process.wait(30)
    wait_until(lambda: not session_processes(own_service.process.pid), "the children to end")
    time.sleep(0.2)
    assert not session_processes(own_service.process.pid)
