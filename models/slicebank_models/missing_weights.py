"""What to do where the weights of a card are not here. No torch here."""

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.shipped import SHIPPED


def how_to_get(card: EncoderCard) -> str:
    """Returns a sentence on how the weights of a card are got; empty where none are missing."""
    if card.weights is not WeightsState.MISSING:
        return ""
    if card.id in SHIPPED.ids:
        return "They come with slicebank: install it again."
    if card.source is None:
        return f"Register them with `slicebank encoders add FILE --id {card.id}`."
    return (
        f"Get them with `slicebank encoders pull {card.id}`, or, where no hub is reached, bring {card.source.file} of "
        f"{card.source.repo} on a disk and run `slicebank encoders add FILE --id {card.id}`."
    )
