"""The encoders that are loaded on one device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slicebank_worker.engine.lanes import EncoderKey
from slicebank_worker.engine.parcels import Features, Parcel


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch that has been encoded.

    Attributes:
        features: (B, D), in the order of the parcels.
        device_s: seconds that the device worked on it.
    """

    features: Features
    device_s: float


class BatchEncoder(Protocol):
    """A frozen encoder on its device."""

    @property
    def numerics(self) -> dict[str, Any]:
        """What really ran: device, dtype, memory format, versions."""

    @property
    def depth(self) -> int:
        """Batches that may be in hand at once: 2 where copying one overlaps with computing another."""

    def launch(self, parcels: Sequence[Parcel]) -> Callable[[], Batch]:
        """Begins a batch; calling the result waits for its end."""


class EncoderShelf:
    """Loads encoders when they are first asked for, and keeps those used last. Shared by the threads of one device."""

    def __init__(self, load: Callable[[EncoderKey], BatchEncoder], kept: int) -> None:
        """Starts empty.

        Args:
            load: makes the encoder of a key ready; its errors reach the jobs that asked.
            kept: how many encoders stay loaded.
        """
        self._load = load
        self._kept = kept
        self._lock = threading.Lock()
        self._encoders: OrderedDict[EncoderKey, BatchEncoder] = OrderedDict()

    def get(self, key: EncoderKey) -> BatchEncoder:
        """The encoder of a key; while one thread loads it, the others wait."""
        with self._lock:
            return self._get(key)

    def preload(self, key: EncoderKey) -> None:
        """Loads an encoder before it is asked for, unless one is loaded already: what jobs use is not pushed out."""
        with self._lock:
            if not self._encoders:
                self._get(key)

    def _get(self, key: EncoderKey) -> BatchEncoder:
        if key not in self._encoders:
            self._encoders[key] = self._load(key)
            while len(self._encoders) > self._kept:
                self._encoders.popitem(last=False)
        self._encoders.move_to_end(key)
        return self._encoders[key]

    @property
    def loaded(self) -> list[str]:
        """Ids of the encoders that are loaded, the one used last at the end."""
        return list(dict.fromkeys(key.encoder for key in list(self._encoders)))
