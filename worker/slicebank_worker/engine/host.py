"""An encoder on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from slicebank_models.inference import FrozenEncoder
from slicebank_worker.engine.memory import memory_short_named
from slicebank_worker.engine.parcels import Parcel, joined_rows
from slicebank_worker.engine.rows import make_rows
from slicebank_worker.engine.shelf import Batch


class HostEncoder:
    """Computes a batch on the thread that asks for it."""

    depth = 1

    def __init__(self, encoder: FrozenEncoder, threads: int | None = None) -> None:
        """Takes an encoder that is ready.

        Args:
            encoder: what computes.
            threads: that a batch is computed on; None for those of the runner. A volume alone keeps all cores at work.
        """
        self._encoder = encoder
        self._threads = threads

    @property
    def numerics(self) -> dict[str, Any]:
        """What really runs."""
        return self._encoder.numerics

    def launch(self, parcels: Sequence[Parcel]) -> Callable[[], Batch]:
        """Encodes the rows of the parcels when the result is asked for."""
        return lambda: self._encode(parcels)

    def _encode(self, parcels: Sequence[Parcel]) -> Batch:
        with memory_short_named(), _threads(self._threads):
            rows = joined_rows([make_rows(parcel) for parcel in parcels])
            started = time.perf_counter()
            features = self._encoder.encode(rows)
        return Batch(features, time.perf_counter() - started)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Lets torch compute on so many threads; the setting is the calling thread's own."""
    usual = torch.get_num_threads()
    if number is None or number == usual:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
