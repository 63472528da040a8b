from __future__ import annotations

import pytest
import torch

from slicebank_worker.device import NoSuchDevice, choose_batch_rows, choose_device
from slicebank_worker.settings import WorkerSettings


def test_a_device_that_is_not_there_is_named() -> None:
    for name in ("cuda:99", "toaster"):
        with pytest.raises(NoSuchDevice, match=name):
            choose_device(WorkerSettings(device=name))


def test_auto_and_cpu() -> None:
    assert choose_device(WorkerSettings(device="cpu")) == torch.device("cpu")
    assert choose_device(WorkerSettings(device="auto")).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_batches_are_the_setting_or_suit_the_device() -> None:
    cpu = torch.device("cpu")
    assert choose_batch_rows(WorkerSettings(batch_rows=7), cpu) == 7
    assert 0 < choose_batch_rows(WorkerSettings(), cpu) < choose_batch_rows(WorkerSettings(), torch.device("cuda"))
