"""Whether registered encoders are what they were when they were registered. No torch here."""

from dataclasses import dataclass
from enum import StrEnum

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.errors import BadCard, UnreadableCheckpoint
from slicebank_models.missing_weights import how_to_get
from slicebank_models.registry import CARD_FILE, EncoderRegistry
from slicebank_models.stored_weights import file_sha256, stored_digest


class Soundness(StrEnum):
    """What a check found."""

    SOUND = "sound"
    DAMAGED = "damaged"
    MISSING = "missing"
    NOT_STORED = "not_stored"


@dataclass(frozen=True, slots=True)
class EncoderCheck:
    """What was found of one encoder.

    Attributes:
        encoder_id: Its id.
        soundness: Whether it can be relied on.
        detail: A sentence, with what to do where something is wrong.
        sha256: Of the weights file as it is now, hex; empty where there is none.
    """

    encoder_id: str
    soundness: Soundness
    detail: str
    sha256: str = ""


def verify_encoder(registry: EncoderRegistry, encoder_id: str) -> EncoderCheck:
    """Reads the stored weights of an encoder again: every byte of the files, and the digest over the tensors.

    Raises:
        UnknownEncoder: No card has this id.
    """
    try:
        card = registry.get(encoder_id)
    except BadCard as error:
        return EncoderCheck(encoder_id, Soundness.DAMAGED, f"{error} Remove its folder, and pull or add it again.")
    if card.weights in (WeightsState.SEEDED, WeightsState.NONE):
        return EncoderCheck(encoder_id, Soundness.NOT_STORED, "It has no stored weights.")
    folder = registry.home(encoder_id)
    if folder is None:
        return EncoderCheck(encoder_id, Soundness.MISSING, f"Its weights are not here. {how_to_get(card)}")
    weights = folder / (card.weights_file or "")
    if not weights.is_file():
        return EncoderCheck(encoder_id, Soundness.MISSING, f"{weights.name} is gone. {how_to_get(card)}")
    try:
        noted = registry.checksums(encoder_id)
        sha256 = file_sha256(weights)
        for name in (weights.name, CARD_FILE):
            if name in noted and (sha256 if name == weights.name else file_sha256(folder / name)) != noted[name]:
                return EncoderCheck(
                    encoder_id,
                    Soundness.DAMAGED,
                    f"{name} was changed since it came here. {_mend(registry, card)}",
                    sha256,
                )
        digest = stored_digest(weights)
    except (UnreadableCheckpoint, OSError) as error:
        return EncoderCheck(encoder_id, Soundness.DAMAGED, f"{error} {_mend(registry, card)}")
    if digest != card.weights_digest:
        return EncoderCheck(
            encoder_id,
            Soundness.DAMAGED,
            f"Its tensors are not those that its card names. {_mend(registry, card)}",
            sha256,
        )
    since = "they were registered" if registry.registered(encoder_id) else "they came with slicebank"
    return EncoderCheck(encoder_id, Soundness.SOUND, f"Files and tensors are as {since}.", sha256)


def _mend(registry: EncoderRegistry, card: EncoderCard) -> str:
    if not registry.registered(card.id):
        return "It came with slicebank: install that again."
    return f"Run `slicebank encoders remove {card.id}` and `slicebank encoders {_again(registry, card)}`; bags made before keep their rows."


def _again(registry: EncoderRegistry, card: EncoderCard) -> str:
    """What registers an encoder again after its card was removed."""
    source = card.source
    if source is None:
        return f"add FILE --id {card.id} --architecture {card.architecture}"
    if registry.ships(card.id):
        return f"pull {card.id}"
    reference = f"hf:{source.place}@{source.revision}"
    if card.architecture.startswith("hf:"):  # by its config.json
        return f"pull {reference} --id {card.id}"
    return f"pull {reference}:{source.file} --id {card.id} --architecture {card.architecture}"
