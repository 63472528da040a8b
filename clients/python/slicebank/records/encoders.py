"""Encoder cards."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Encoder:
    """What an encoder is: `weights` is present, missing, seeded (untrained, from a formula) or none (it needs none)."""

    id: str
    dim: int = 0
    level: str = "slice"
    windows: tuple[str | JSON, ...] = ()
    weights: str = ""
    weights_digest: str = ""
    trained: bool = True
    default: bool = False
    licence: str = ""
    paper: str = ""
    description: str = ""
    architecture: str = ""
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def untrained(self) -> bool:
        """Whether its weights never saw an image."""
        return self.weights == "seeded" or (not self.trained and self.weights != "none")
