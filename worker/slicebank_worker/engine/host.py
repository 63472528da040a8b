"""An encoder on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slicebank_models.inference import FrozenEncoder
from slicebank_worker.engine.memory import memory_short_named
from slicebank_worker.engine.parcels import Parcel
from slicebank_worker.engine.rows import make_rows
from slicebank_worker.engine.shelf import Batch


class HostEncoder:
    """Computes a batch on the thread that asks for it."""

    depth = 1

    def __init__(self, encoder: FrozenEncoder) -> None:
        self._encoder = encoder

    @property
    def numerics(self) -> dict[str, Any]:
        """What really runs."""
        return self._encoder.numerics

    def launch(self, parcels: Sequence[Parcel]) -> Callable[[], Batch]:
        """Encodes the rows of the parcels when the result is asked for."""
        return lambda: self._encode(parcels)

    def _encode(self, parcels: Sequence[Parcel]) -> Batch:
        with memory_short_named():
            rows = np.concatenate([make_rows(parcel) for parcel in parcels])
            started = time.perf_counter()
            features = self._encoder.encode(rows)
        return Batch(features, time.perf_counter() - started)
