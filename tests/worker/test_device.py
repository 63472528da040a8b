from __future__ import annotations

import os

import pytest
import torch

from slicebank_worker.device import NoSuchDevice, choose_devices, plan_runners
from slicebank_worker.settings import WorkerSettings


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["cuda:99", "toaster", "cpu,cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(NoSuchDevice, match=name):
        choose_devices(name)


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_devices("auto") == choose_devices("cpu") == (torch.device("cpu"),)
    with pytest.raises(NoSuchDevice, match="0 CUDA devices"):
        choose_devices("cuda")


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_is_used_unless_some_are_named() -> None:
    both = (torch.device("cuda:0"), torch.device("cuda:1"))
    assert choose_devices("auto") == choose_devices("cuda") == choose_devices("cuda:0, cuda:1") == both
    assert choose_devices("cuda:1") == both[1:]
    with pytest.raises(NoSuchDevice, match="mixes"):
        choose_devices("cpu,cuda:0")


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_has_one_runner() -> None:
    plan = plan_runners(WorkerSettings())
    assert plan.devices == (torch.device("cuda:0"), torch.device("cuda:1"))


def test_a_cpu_has_a_runner_a_core_or_as_many_as_asked_for() -> None:
    cores = len(os.sched_getaffinity(0))
    plan = plan_runners(WorkerSettings(device="cpu"))
    assert len(plan.devices) == min(cores, 16)
    assert len(plan.devices) * plan.threads <= cores
    one = plan_runners(WorkerSettings(device="cpu", runners=1))
    assert (len(one.devices), one.threads) == (1, cores)


def test_a_batch_is_the_setting_or_found_while_working() -> None:
    assert plan_runners(WorkerSettings(device="cpu", batch_rows=7)).limits.batch_sizes == (7,)
    found = plan_runners(WorkerSettings(device="cpu")).limits
    assert found.first_size in found.batch_sizes
    assert list(found.batch_sizes) == sorted(found.batch_sizes)
