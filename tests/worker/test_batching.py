"""Batches of an encoder take no more memory than batches may have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slicebank_models.registry import EncoderRegistry
from slicebank_worker.batching import batch_memory, host_memory, limits_of
from slicebank_worker.device import Runners, plan_runners
from slicebank_worker.engine import EngineLimits
from slicebank_worker.settings import WorkerSettings

MB = 1 << 20
SLICES = replace(EncoderRegistry().get("dummy"), row_bytes=100 * MB)
SCANS = replace(EncoderRegistry().get("dummy_scan"), row_bytes=3000 * MB)
CPU = Runners((torch.device("cpu"),) * 4, 1, EngineLimits((2, 4, 8, 16), 4))
GPU = Runners((torch.device("cuda:0"),), 1, EngineLimits((32, 64, 128, 256), 128))


@pytest.mark.parametrize(
    ("memory_mb", "sizes", "first", "at_once"),
    [
        (6400, (2, 4, 8, 16), 4, None),
        (6399, (2, 4, 8), 4, None),
        (800, (2,), 2, None),
        (799, (1,), 1, None),
        (400, (1,), 1, None),
        (399, (1,), 1, 3),
        (5, (1,), 1, 1),
    ],
)
def test_the_batches_of_all_runners_of_a_cpu_fit_together(
    memory_mb: int, sizes: tuple[int, ...], first: int, at_once: int | None
) -> None:
    limits = limits_of(SLICES, CPU, memory_mb * MB)
    assert (limits.batch_sizes, limits.first_size, limits.at_once) == (sizes, first, at_once)


@pytest.mark.parametrize(
    ("memory_mb", "sizes", "first"),
    [
        (60_000, (32, 64, 128, 256), 128),
        (10_000, (32, 64), 64),
        (3_199, (8, 16), 16),
        (450, (2, 4), 4),
        (50, (1,), 1),
    ],
)
def test_a_batch_fits_beside_the_weights_of_a_gpu(memory_mb: int, sizes: tuple[int, ...], first: int) -> None:
    card = replace(SLICES, parameters=25 * MB)  # 100 MB of float32
    limits = limits_of(card, GPU, (memory_mb + 100) * MB)
    assert (limits.batch_sizes, limits.first_size, limits.at_once) == (sizes, first, None)


def test_volumes_go_one_at_a_time() -> None:
    assert limits_of(SCANS, CPU, 64 * MB) == replace(CPU.limits, batch_sizes=(1,), first_size=1, at_once=1)
    assert limits_of(SCANS, GPU, 64 * MB) == replace(GPU.limits, batch_sizes=(1,), first_size=1)


def test_an_unmeasured_encoder_and_a_size_that_was_asked_for_stay_as_they_are() -> None:
    assert limits_of(replace(SLICES, row_bytes=0), CPU, MB) == CPU.limits
    asked = replace(CPU, limits=EngineLimits((7,), 7))
    assert limits_of(SLICES, asked, MB) == asked.limits


def test_memory_is_what_was_set_or_a_share_of_what_there_is(tmp_path: Path) -> None:
    plan = plan_runners(WorkerSettings(device="cpu"))
    assert batch_memory(plan, WorkerSettings(device="cpu", batch_memory_mb=300)) == 300 * MB
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < batch_memory(plan, WorkerSettings(device="cpu")) <= machine / 4
    limit = tmp_path / "memory.max"
    assert host_memory((limit,)) == machine
    limit.write_text("max\n")
    assert host_memory((limit,)) == machine
    limit.write_text(f"{512 * MB}\n")
    assert host_memory((limit,)) == 512 * MB
