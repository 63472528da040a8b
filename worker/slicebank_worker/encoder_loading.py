"""Making encoders ready on a device, and remembering which this process could not load for want of their weights."""

from __future__ import annotations

import threading

import structlog
import torch

from slicebank_models.cards import WeightsState
from slicebank_models.errors import (
    BadCard,
    CheckpointMismatch,
    UnknownArchitecture,
    UnknownEncoder,
    WeightsDigestMismatch,
    WeightsMissing,
)
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.missing_weights import how_to_get
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.engine import EncoderKey
from slicebank_worker.errors import EncoderUnavailable, WeightsLacking

log = structlog.get_logger()


class EncoderLoader:
    """Loads encoders of a registry. Any thread may call it.

    Args:
        registry: of this machine.
        name: of this worker, for sentences.
    """

    def __init__(self, registry: EncoderRegistry, name: str) -> None:
        self._registry = registry
        self._name = name
        self._lock = threading.Lock()
        self._lacking: dict[str, tuple[tuple[str, int, int], ...]] = {}

    @property
    def lacking(self) -> list[str]:
        """Ids of encoders that a job asked for and whose weights are not here, or are damaged; until their files change."""
        with self._lock:
            self._lacking = {name: files for name, files in self._lacking.items() if files == self._files(name)}
            return list(self._lacking)

    def _files(self, encoder_id: str) -> tuple[tuple[str, int, int], ...]:
        """Name, time and size of what is stored of an encoder."""
        folder = self._registry.home(encoder_id)
        if folder is None:
            return ()
        found = [(path.name, path.stat()) for path in sorted(folder.glob("*"))]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)

    def __call__(self, key: EncoderKey, device: torch.device) -> FrozenEncoder:
        """Loads the encoder of a key.

        Raises:
            WeightsLacking: its weights are not on this machine, or are damaged.
            EncoderUnavailable: it has other weights than the key names, or cannot be built by this version.
        """
        files = self._files(key.encoder)
        try:
            encoder = self._load(key, device)
        except WeightsLacking:
            with self._lock:
                self._lacking[key.encoder] = files
            raise
        with self._lock:
            self._lacking.pop(key.encoder, None)
        log.info("encoder_loaded", encoder=key.encoder, **encoder.numerics)
        return encoder

    def _load(self, key: EncoderKey, device: torch.device) -> FrozenEncoder:
        try:
            card = self._registry.get(key.encoder)
        except (UnknownEncoder, BadCard) as error:
            raise WeightsLacking(self._sentence(f"has no usable card of encoder {key.encoder} ({error})")) from error
        if card.weights is WeightsState.MISSING:
            raise WeightsLacking(self._sentence(f"lacks the weights of encoder {key.encoder}. {how_to_get(card)}"))
        if card.weights_digest != key.weights_digest:
            raise EncoderUnavailable(
                f"encoder {key.encoder} has other weights here than when the series was taken in; upload the series again"
            )
        try:
            module = load_encoder(card, self._registry.folder, shipped=self._registry.shipped)
        except (WeightsMissing, WeightsDigestMismatch, CheckpointMismatch) as error:
            raise WeightsLacking(self._sentence(f"cannot use the weights of encoder {key.encoder}: {error}")) from error
        except (UnknownArchitecture, BadCard) as error:
            raise EncoderUnavailable(f"{self._name} cannot build encoder {key.encoder}: {error}") from error
        return FrozenEncoder(card, module, device=device, precision="fp32" if key.precision == "fp32" else "standard")

    def _sentence(self, what: str) -> str:
        return (
            f"Worker {self._name} {what.rstrip('.')}. Workers look in SLICEBANK_ENCODERS_DIR; afterwards retry the job."
        )
