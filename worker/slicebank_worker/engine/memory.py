"""Telling a device that ran out of memory from everything else that can go wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from slicebank_worker.errors import DeviceMemoryShort

# What torch's allocator for the CPU says; it has no error class of its own.
_CPU_SHORT = "DefaultCPUAllocator"


@contextmanager
def memory_short_named() -> Iterator[None]:
    """Turns what torch raises for want of memory into `DeviceMemoryShort`, and gives back what its cache holds.

    Raises:
        DeviceMemoryShort: the memory of the device did not suffice.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        short: BaseException = error
    except RuntimeError as error:
        if _CPU_SHORT not in str(error):
            raise
        short = error
    else:
        return
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    msg = "The memory of the device does not suffice for one slice: free memory on it, or choose a smaller encoder."
    raise DeviceMemoryShort(msg) from short
