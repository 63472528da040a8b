"""The processes of one run: who they are, what each does, and how they agree."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from slicebank_models.errors import BadPretrainingSetting

CPU = torch.device("cpu")
# Longer than rank 0 takes over a linear probe or a checkpoint, during which the others wait.
TIMEOUT = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Processes:
    """One process among those that train together.

    Attributes:
        rank: From 0; only 0 writes and shows anything.
        world_size: How many there are.
        device: Of this process.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU

    @classmethod
    def alone(cls) -> "Processes":
        """One process on the first CUDA device, or on the CPU where there is none."""
        return cls(device=_device("auto", None))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, batch_size: int) -> tuple[int, int]:
        """First and one past the last place of the global batch that this process takes.

        Raises:
            BadPretrainingSetting: The batch cannot be shared evenly.
        """
        each, rest = divmod(batch_size, self.world_size)
        if rest:
            raise BadPretrainingSetting(
                f"optimiser.batch_size counts the slices of all processes and must be a multiple of their number, "
                f"{self.world_size}; {batch_size} is none."
            )
        return self.rank * each, (self.rank + 1) * each

    def any(self, here: bool) -> bool:
        """Whether it is so in any process; every process must ask."""
        if self.world_size == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model, whose gradients are averaged over the processes where there are several."""
        if self.world_size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        # Running statistics are the same everywhere already: every norm takes them over all processes.
        parallel = nn.parallel.DistributedDataParallel
        renamed = "forward_sync_buffers" in signature(parallel).parameters
        named: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
        return parallel(model, device_ids=ids, gradient_as_bucket_view=True, **named)

    def wait(self) -> None:
        """Returns once every process has come here."""
        if self.world_size > 1:
            dist.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.world_size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.world_size


@contextmanager
def processes_of_environment(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[Processes]:
    """Joins the processes that torchrun started, and leaves them at the end; alone where it started none.

    Args:
        device: `cpu`, `cuda`, `cuda:N` or `auto`, which is CUDA where there is a device. Of several processes each takes
            the CUDA device of its LOCAL_RANK.
        environment: RANK, WORLD_SIZE, LOCAL_RANK and what torch.distributed reads beside them.

    Raises:
        BadPretrainingSetting: There is no such device, or more processes than devices.
    """
    world_size = int(environment.get("WORLD_SIZE", "1"))
    local_rank = int(environment.get("LOCAL_RANK", "0"))
    chosen = _device(device, local_rank if world_size > 1 else None)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        yield Processes(device=chosen)
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    rank = int(environment["RANK"])
    dist.init_process_group(backend, rank=rank, world_size=world_size, timeout=TIMEOUT)
    try:
        yield Processes(rank, world_size, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadPretrainingSetting(f"There is no device {name!r:.60}; there are cpu, cuda and cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise BadPretrainingSetting(f"Pre-training runs on cpu or cuda, not on {device.type}.")
    if device.type == "cpu":
        return device
    index = local_rank if local_rank is not None else device.index or 0
    if index >= torch.cuda.device_count():
        raise BadPretrainingSetting(
            f"CUDA device {index} was asked for and this machine has {torch.cuda.device_count()}; start at most one "
            f"process a device (torchrun --nproc-per-node), or take --device cpu."
        )
    return torch.device("cuda", index)
