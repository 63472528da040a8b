"""Encoder cards."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class EncoderSource:
    """Where an encoder's weights are published; a gated repository wants its terms accepted before it gives them."""

    repo: str
    file: str = ""
    revision: str = ""
    sha256: str = ""
    gated: bool = False
    licence_url: str = ""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What an encoder is: `weights` is present, missing, seeded (untrained, from a formula) or none (it needs none).

    Attributes:
        registered: whether it was pulled or added at the server; one that was and lacks its weights has lost them.
        how_to_get: what to do where the weights are missing.
        row_bytes: memory of the device that one more row of a batch takes in float32; 0 where nobody has measured it.
    """

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
    parameters: int = 0
    row_bytes: int = 0
    registered: bool = False
    source: EncoderSource | None = None
    how_to_get: str = ""
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def usable(self) -> bool:
        """Whether it can embed at the server."""
        return self.weights != "missing"

    @property
    def untrained(self) -> bool:
        """Whether its weights never saw an image."""
        return self.weights == "seeded" or (not self.trained and self.weights != "none")


@dataclass(frozen=True, slots=True)
class EncoderPull:
    """A pull that was queued; `encoder_id` is None where only the job will tell it."""

    job_id: str
    state: str = ""
    encoder_id: str | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EncoderCheck:
    """What reading stored weights again found: sound, damaged, missing or not_stored, and a sentence."""

    encoder_id: str
    soundness: str = ""
    detail: str = ""
    sha256: str = ""
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.soundness in ("sound", "not_stored")
