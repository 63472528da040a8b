"""Who a process is, and what it does of a batch."""

from __future__ import annotations

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.distributed import Processes, processes_of_environment
from slicebank_models.pretraining.synchronised_norm import synchronise

CPU = torch.device("cpu")


def test_shares_follow_each_other_and_are_the_whole_batch() -> None:
    shares = [Processes(rank, 4, CPU).share(12) for rank in range(4)]
    assert shares == [(0, 3), (3, 6), (6, 9), (9, 12)]


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(BadPretrainingSetting, match=r"multiple of their number, 3; 16 is none"):
        Processes(0, 3, CPU).share(16)


def test_alone_there_is_no_group() -> None:
    with processes_of_environment("cpu", {}) as processes:
        assert (processes.rank, processes.world_size, processes.device, processes.first) == (0, 1, CPU, True)
        assert not torch.distributed.is_initialized()
        assert processes.any(True)
        assert not processes.any(False)
        assert processes.mean(torch.tensor([1.5])).item() == 1.5
        processes.wait()
        network = nn.Linear(2, 2)
        assert processes.wrapped(network) is network


@pytest.mark.parametrize(("device", "sentence"), [("tea", "There is no device 'tea'"), ("meta", "not on meta")])
def test_a_device_that_cannot_be_is_refused(device: str, sentence: str) -> None:
    with pytest.raises(BadPretrainingSetting, match=sentence), processes_of_environment(device, {}):
        pass


def test_more_processes_than_devices_are_refused() -> None:
    beyond = {"WORLD_SIZE": "999", "RANK": "998", "LOCAL_RANK": "998"}
    with (
        pytest.raises(BadPretrainingSetting, match="CUDA device 998 was asked for"),
        processes_of_environment("cuda", beyond),
    ):
        pass


def test_norms_with_an_activation_keep_it() -> None:
    torch.manual_seed(0)
    rows = torch.randn(4, 3, 5, 5)
    expected = BatchNormAct2d(3)(rows)
    assert (expected == 0).any()
    assert torch.equal(synchronise(BatchNormAct2d(3))(rows), expected)
