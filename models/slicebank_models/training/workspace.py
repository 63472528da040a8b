"""Memory that training steps use again and again: fresh memory of this size is zeroed by the system page by page, every time."""

import threading

import torch
from torch import Tensor


class Workspace:
    """Buffers by name, one set a thread, each as large as the largest that was asked for.

    What is taken is overwritten by whoever takes the same name next in the same thread.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._local = threading.local()

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """Returns a (rows, columns) tensor of unknown content."""
        buffers: dict[str, Tensor] = self._local.__dict__.setdefault("buffers", {})
        key = f"{name} {columns} {dtype}"
        if key not in buffers or len(buffers[key]) < rows:
            buffers[key] = torch.empty((rows, columns), dtype=dtype, device=self._device)
        return buffers[key][:rows]
