"""Encoders as requests and answers show them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from slicebank_models.cards import EncoderCard
from slicebank_models.missing_weights import how_to_get
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_models.verifying import EncoderCheck
from slicebank_service.context import ID_PATTERN


class EncoderInput(BaseModel):
    """What an encoder reads."""

    kind: str
    size: int = Field(description="Side of a row, pixels; 0 for volumes.")
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    volume: dict[str, Any] | None = Field(description="Axes, spacing, size and HU of a scan encoder's volume.")


class EncoderSource(BaseModel):
    """Where weights are published."""

    repo: str
    file: str
    revision: str
    sha256: str = Field(description="Of the file as published; empty where it is not known.")
    gated: bool = Field(description="The owner wants its terms accepted first; pulling needs a token.")
    licence_url: str


class EncoderView(BaseModel):
    """An encoder's card."""

    id: str
    default: bool
    architecture: str
    dim: int
    level: str
    input: EncoderInput
    windows: tuple[str, ...]
    licence: str
    paper: str
    code: str
    description: str
    notes: str
    parameters: int
    row_bytes: int = Field(description="Memory of the device that one more row takes in float32; 0 where unmeasured.")
    weights: str
    weights_digest: str
    registered: bool = Field(description="Whether it was pulled or added here.")
    source: EncoderSource | None
    how_to_get: str = Field(description="What to do where its weights are missing; else empty.")
    trained: bool
    precisions: tuple[str, ...]


class EncoderList(BaseModel):
    """All encoders, the default first."""

    items: list[EncoderView]
    problems: dict[str, str] = Field(description="Registered cards that cannot be read: a sentence by id.")


class PullAsked(BaseModel):
    """An encoder to be pulled by a worker."""

    model_config = ConfigDict(extra="forbid")

    pull: str = Field(
        max_length=200, description="Id of a published encoder, hf:OWNER/REPO[@REVISION][:FILE], or timm:NAME."
    )
    id: Annotated[str, Field(pattern=ID_PATTERN)] | None = Field(None, description="Id to register it under.")
    architecture: Annotated[str, Field(pattern=r"^(timm:)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None = Field(
        None, description="What a checkpoint file is of, where it does not tell; timm:NAME is a model of timm."
    )
    windows: list[str] | None = Field(None, min_length=1, max_length=8, description="Windows rendered by default.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, description="Pins the file.")
    accept_licence: bool = Field(False, description="The terms of the weights are accepted.")


class PullAnswer(BaseModel):
    """A pull that was queued."""

    job_id: str
    state: str
    encoder_id: str | None = Field(description="Where it is known before the job has run.")


class CheckView(BaseModel):
    """What a check of stored weights found: sound, damaged, missing or not_stored."""

    encoder_id: str
    soundness: str
    detail: str
    sha256: str


def encoder_view(card: EncoderCard, *, registered: bool) -> EncoderView:
    """Shows a card.

    Args:
        card: it.
        registered: whether it was pulled or added here.
    """
    return EncoderView(
        id=card.id,
        default=card.id == DEFAULT_ENCODER,
        architecture=card.architecture,
        dim=card.dim,
        level=card.level.value,
        input=EncoderInput(
            kind=card.input_kind.value,
            size=card.input_size,
            mean=card.mean,
            std=card.std,
            interpolation=card.interpolation.value,
            volume=None if card.volume is None else card.volume.as_dict(),
        ),
        windows=card.windows,
        licence=card.licence,
        paper=card.paper,
        code=card.code,
        description=card.description,
        notes=card.notes,
        parameters=card.parameters,
        row_bytes=card.row_bytes,
        weights=card.weights.value,
        weights_digest=card.weights_digest,
        registered=registered,
        source=None if card.source is None else EncoderSource(**card.source.as_dict()),
        how_to_get=how_to_get(card),
        trained=card.trained,
        precisions=card.precisions,
    )


def check_view(check: EncoderCheck) -> CheckView:
    """Shows what a check found."""
    return CheckView(
        encoder_id=check.encoder_id, soundness=check.soundness.value, detail=check.detail, sha256=check.sha256
    )
