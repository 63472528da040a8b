"""Which devices the encoder runs on, how many threads feed each, and how large batches may be."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from slicebank_worker.engine import EngineLimits
from slicebank_worker.errors import WorkerError
from slicebank_worker.settings import WorkerSettings

# On a CPU batches of 2 to 32 rows are about equally fast (docs/performance.md), and small ones end together; a GPU has to be
# filled. No GPU was measured yet.
_CPU_LIMITS = EngineLimits(batch_sizes=(2, 4, 8, 16), first_size=4)
_GPU_LIMITS = EngineLimits(batch_sizes=(32, 64, 128, 256), first_size=128)
# Every runner holds the activations of one batch, about 100 MB with the default encoder.
_MOST_RUNNERS = 16


class NoSuchDevice(WorkerError):
    """The device that was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Runners:
    """How a worker's devices are fed.

    Attributes:
        devices: of each runner; a CPU has several runners, a GPU one.
        threads: that each runner computes on.
        limits: how batches are made.
    """

    devices: tuple[torch.device, ...]
    threads: int
    limits: EngineLimits

    @property
    def on_gpu(self) -> bool:
        """Whether the devices are GPUs; a plan does not mix kinds."""
        return self.devices[0].type == "cuda"

    @property
    def all_threads(self) -> int:
        """Threads of all runners together."""
        return self.threads * len(self.devices)


def plan_runners(settings: WorkerSettings) -> Runners:
    """The runners that settings and machine ask for.

    Raises:
        NoSuchDevice: a device is not there, or its name is not one.
    """
    devices = choose_devices(settings.device)
    on_gpu = devices[0].type == "cuda"
    limits = _GPU_LIMITS if on_gpu else _CPU_LIMITS
    if settings.batch_rows:
        limits = EngineLimits((settings.batch_rows,), settings.batch_rows)
    if on_gpu:
        return Runners(devices, 1, limits)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    runners = settings.runners or min(cores, _MOST_RUNNERS)
    return Runners(devices * runners, max(1, cores // runners), limits)


def choose_devices(names: str) -> tuple[torch.device, ...]:
    """The devices of a comma-separated list; `auto` is every CUDA device, or the CPU where there is none; `cuda` is every CUDA device.

    Raises:
        NoSuchDevice: one is not there, its name is not one, or CPU and GPU are mixed.
    """
    present = torch.cuda.device_count()
    if names == "auto":
        names = "cuda" if present else "cpu"
    every = ",".join(f"cuda:{index}" for index in range(present)) if names == "cuda" and present else names
    devices = tuple(dict.fromkeys(_device(name.strip(), names, present) for name in every.split(",")))
    if len({device.type for device in devices}) > 1:
        raise NoSuchDevice(f"SLICEBANK_DEVICE={names} mixes kinds of devices; start one worker for each kind")
    return devices


def _device(name: str, names: str, present: int) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise NoSuchDevice(
            f"SLICEBANK_DEVICE={names} names no device; use auto, cpu, cuda, cuda:N or a list of these"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= present:
        raise NoSuchDevice(f"SLICEBANK_DEVICE={names}: this machine has {present} CUDA devices")
    return device
