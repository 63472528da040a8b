"""Encoders: the cards of those that can embed here."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from slicebank_models.cards import EncoderCard
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.context import Ctx, Identifier

router = APIRouter(prefix="/encoders", tags=["encoders"])


class EncoderInput(BaseModel):
    """What an encoder reads."""

    kind: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


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
    description: str
    parameters: int
    weights: str
    weights_digest: str
    trained: bool
    precisions: tuple[str, ...]


class EncoderList(BaseModel):
    """All encoders, the default first."""

    items: list[EncoderView]


@router.get("")
def list_encoders(context: Ctx) -> EncoderList:
    """Lists the encoders, the default first."""
    return EncoderList(items=[_view(card) for card in context.registry.cards()])


@router.get("/{encoder_id}")
def get_encoder(context: Ctx, encoder_id: Identifier) -> EncoderView:
    """Shows one encoder."""
    return _view(context.registry.get(encoder_id))


def _view(card: EncoderCard) -> EncoderView:
    return EncoderView(
        id=card.id,
        default=card.id == DEFAULT_ENCODER,
        architecture=card.architecture,
        dim=card.dim,
        level=card.level.value,
        input=EncoderInput(kind=card.input_kind.value, size=card.input_size, mean=card.mean, std=card.std),
        windows=card.windows,
        licence=card.licence,
        paper=card.paper,
        description=card.description,
        parameters=card.parameters,
        weights=card.weights.value,
        weights_digest=card.weights_digest,
        trained=card.trained,
        precisions=card.precisions,
    )
