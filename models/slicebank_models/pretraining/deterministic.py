"""Kernels that give the same bits every time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Only kernels that give the same bits every time, where wanted; without it cuDNN chooses its own by timing.

    CUBLAS_WORKSPACE_CONFIG must be set before CUDA begins, for cuBLAS to join in; `slicebank pretrain run` sets it.
    """
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
    torch.use_deterministic_algorithms(wanted)
    cudnn.benchmark = not wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark = before[1]
