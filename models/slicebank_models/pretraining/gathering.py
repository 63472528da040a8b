"""Rows of all processes, side by side."""

import torch
from torch import Tensor
from torch import distributed as dist


def process_count() -> int:
    """How many processes train together; 1 where torch.distributed was not started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """This process among them, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


@torch.no_grad()
def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes by rank, and the place of this process's first row among them.

    Nothing flows back: keys have no gradient (MoCo v3). A query's gradient is then that of its own process's loss, and
    averaging over processes, as DistributedDataParallel does, gives that of the loss of the global batch.

    Args:
        rows: (n, ...) of any dtype, with one n for all processes.
    """
    processes = process_count()
    if processes == 1:
        return rows.detach(), 0
    own = rows.detach().to(torch.uint8) if rows.dtype == torch.bool else rows.detach()
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(processes)]
    dist.all_gather(parts, own.contiguous())
    return torch.cat(parts).to(rows.dtype), process_rank() * len(rows)
