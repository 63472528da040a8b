"""Which device the encoder runs on, and how large its batches are."""

from __future__ import annotations

import torch

from slicebank_worker.errors import WorkerError
from slicebank_worker.settings import WorkerSettings

# Starting points, to be replaced by what benchmarks show; nothing was measured on a GPU yet.
_CPU_ROWS = 32
_GPU_ROWS = 256


class NoSuchDevice(WorkerError):
    """The device that was asked for is not there."""


def choose_device(settings: WorkerSettings) -> torch.device:
    """The encoder's device.

    Raises:
        NoSuchDevice: it is not there, or its name is not one.
    """
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(settings.device)
    except RuntimeError as error:
        raise NoSuchDevice(
            f"SLICEBANK_DEVICE={settings.device} names no device; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NoSuchDevice(
            f"SLICEBANK_DEVICE={settings.device}: this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return device


def choose_batch_rows(settings: WorkerSettings, device: torch.device) -> int:
    """Rows of a full batch."""
    return settings.batch_rows or (_GPU_ROWS if device.type == "cuda" else _CPU_ROWS)
