"""Runs a function in two processes that gloo joins, and returns what each found."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing

PROCESSES = 2


def in_two_processes(work: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls work(rank), a function of a module, in both; tensors and plain values come back by rank."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_joined, (work, folder), nprocs=PROCESSES)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def _joined(rank: int, work: Callable[[int], dict[str, Any]], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    try:
        torch.save(work(rank), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
