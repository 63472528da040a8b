"""Encoders that arrive as a folder with a card: what `slicebank pretrain export` writes. No torch here."""

from dataclasses import replace
from pathlib import Path

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.encoder_folders import CARD_FILE, read_card
from slicebank_models.errors import BadCard
from slicebank_models.plain_files import plain_file


def exported_encoder(folder: Path) -> tuple[EncoderCard, Path] | None:
    """Returns the card in a folder and the file with its weights; None where the folder has no card.

    Raises:
        BadCard: The card cannot be read, or its weights are not in the folder.
    """
    if plain_file(folder, CARD_FILE) is None:
        return None
    card = read_card(folder)
    if card.weights_file is None:
        raise BadCard(f"The card in {folder.name} is of an encoder without stored weights.")
    weights = plain_file(folder, card.weights_file)
    if weights is None:
        raise BadCard(f"The folder {folder.name} has a card, and not the file {card.weights_file} that it names.")
    return replace(card, weights=WeightsState.MISSING), weights
