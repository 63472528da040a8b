"""The recipe: everything that decides the values of a bag's rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from slicebank_store.canonical import digest
from slicebank_store.types import JSON

PIPELINE_VERSION = 2
"""Raised whenever a golden row changes, so that old and new rows never meet in one bag."""

QUANTISATION = "floor(255*clip((hu-low)/(high-low),0,1)+0.5)"
"""From HU to 8-bit grey; low and high are the window's bounds, HU."""

NO_QUANTISATION = "none"
"""Recipes of encoders that read HU, of slices or of volumes."""


@dataclass(frozen=True, slots=True)
class RecipeWindow:
    """One window.

    Attributes:
        name: what people call it; part of the digest, because rows are chosen by it.
        low: HU shown black.
        high: HU shown white.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows are computed.

    Attributes:
        encoder: encoder id.
        weights_digest: SHA-256 over the mapped tensors, hex.
        windows: in row order; row = slice * len(windows) + window. None for encoders of scans.
        size: edge of the encoder's square input, pixels; the longest side of a volume.
        resize: name of the resize, which fixes its arithmetic.
        quantisation: formula from HU to grey, or "none".
        pipeline_version: see `PIPELINE_VERSION`.
        precision: what was asked for: "standard", "fp32" or "int8". What really ran is in the bag's `numerics`.
        input_kind: "gray8", "hu" or "volume".
        volume: what an encoder of scans reads, as its card says: axes, spacing_mm, size, hu, scaled_to, pad, resampling. Recipes
            without one have the digest that they had before there were volumes.
    """

    encoder: str
    weights_digest: str
    windows: tuple[RecipeWindow, ...]
    size: int
    resize: str
    quantisation: str = QUANTISATION
    pipeline_version: int = PIPELINE_VERSION
    precision: str = "standard"
    input_kind: str = "gray8"
    volume: JSON | None = field(default=None, hash=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return digest(self.as_dict())

    def as_dict(self) -> JSON:
        """The recipe as JSON; `from_dict` reads it back."""
        value: dict[str, Any] = asdict(self)
        # 40 and 40.0 are one number to a user, and must be one digest.
        value["windows"] = [
            {"name": window.name, "low": float(window.low), "high": float(window.high)} for window in self.windows
        ]
        if self.volume is None:
            del value["volume"]
        return value

    @classmethod
    def from_dict(cls, value: JSON) -> Self:
        """Reads what `as_dict` wrote."""
        windows = tuple(RecipeWindow(w["name"], float(w["low"]), float(w["high"])) for w in value["windows"])
        return cls(**{**value, "windows": windows})
