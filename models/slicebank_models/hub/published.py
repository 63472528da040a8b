"""What is about to be pulled, and the plan of an encoder whose card is known: contacts nobody, and needs no torch."""

from dataclasses import dataclass, replace

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.errors import BadReference, EncoderExists
from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.references import PublishedReference
from slicebank_models.hub.terms import Terms
from slicebank_models.registry import EncoderRegistry
from slicebank_models.weights_source import SHA256, WeightsSource


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What is about to be pulled.

    Attributes:
        encoder_id: Id it will be registered under.
        source: The file to fetch.
        terms: What its publisher asks.
        card: All that is known before the weights are there; None where the file alone tells the architecture.
        architecture: Asked for by the user; None where card or file tell it.
    """

    encoder_id: str
    source: WeightsSource
    terms: Terms
    card: EncoderCard | None
    architecture: str | None = None


def published_plan(
    reference: PublishedReference,
    registry: EncoderRegistry,
    access: HubAccess,
    *,
    encoder_id: str | None = None,
    sha256: str | None = None,
) -> PullPlan:
    """Plans an encoder whose card is known; contacts nobody.

    Raises:
        UnknownEncoder: No card has this id.
        BadReference: It needs no weights, or is published nowhere.
        EncoderExists: Its weights are here.
    """
    card = registry.get(reference.encoder_id)
    if card.weights in (WeightsState.SEEDED, WeightsState.NONE):
        raise BadReference(f"Encoder {card.id} needs no weights: use it as it is.")
    if card.weights is WeightsState.PRESENT:
        raise EncoderExists(
            f"The weights of encoder {card.id} are here; `slicebank encoders verify {card.id}` checks them."
        )
    if card.source is None:
        raise BadReference(
            f"The weights of encoder {card.id} are published nowhere; register them with `slicebank encoders add FILE --id {card.id}`."
        )
    source = pinned(card.source, sha256)
    page = source.licence_url or access.page(source.place)
    chosen = encoder_id or card.id
    return PullPlan(chosen, source, Terms(card.licence, page, source.gated), replace(card, id=chosen, source=source))


def pinned(source: WeightsSource, sha256: str | None) -> WeightsSource:
    """Returns a source pinned by a sha256 that the user gave.

    Raises:
        BadReference: It is none, or the card pins another one.
    """
    if sha256 and not SHA256.fullmatch(sha256):
        raise BadReference("A sha256 is 64 lower-case hexadecimal digits.")
    if sha256 and source.sha256 and sha256 != source.sha256:
        raise BadReference(
            f"The card pins the file with sha256 {source.sha256}, and another was asked for; leave --sha256 out."
        )
    return replace(source, sha256=sha256) if sha256 else source
