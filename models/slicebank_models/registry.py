"""Which encoders there are: the built-in cards and those registered in a folder. No torch here."""

import json
import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

from slicebank_models.builtin import BUILTIN_CARDS, DEFAULT_ENCODER
from slicebank_models.cards import ENCODER_ID, EncoderCard, WeightsState
from slicebank_models.errors import BadCard, EncoderExists, UnknownEncoder, WeightsMissing

__all__ = ["DEFAULT_ENCODER", "EncoderRegistry"]

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
# Built-in encoders that lack nothing; those that lack their weights get them by a card in the folder.
_COMPLETE = frozenset(card.id for card in BUILTIN_CARDS if card.weights is not WeightsState.MISSING)


class EncoderRegistry:
    """Built-in cards and the cards of one folder, read anew at every call so that processes see each other's additions.

    Args:
        folder: Holds `<id>/card.json` and `<id>/weights.safetensors` per registered encoder; need not exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path | None:
        """Folder of registered encoders."""
        return self._folder

    def cards(self) -> tuple[EncoderCard, ...]:
        """Returns every card: the default first, the others by id.

        Raises:
            BadCard: A registered card cannot be read.
        """
        found = {card.id: card for card in BUILTIN_CARDS}
        if self._folder is not None and self._folder.is_dir():
            for path in sorted(self._folder.glob(f"*/{CARD_FILE}")):
                if not ENCODER_ID.fullmatch(path.parent.name):
                    continue  # an addition under way, or one that a crash left behind
                if path.parent.name not in _COMPLETE:
                    card = self._read(path)
                    found[card.id] = card
        return tuple(sorted(found.values(), key=lambda card: (card.id != DEFAULT_ENCODER, card.id)))

    def get(self, encoder_id: str) -> EncoderCard:
        """Returns one card.

        Raises:
            UnknownEncoder: No card has this id.
            BadCard: The registered card cannot be read.
        """
        if encoder_id not in _COMPLETE and self._folder is not None and ENCODER_ID.fullmatch(encoder_id):
            path = self._folder / encoder_id / CARD_FILE
            if path.is_file():
                return self._read(path)
        for card in BUILTIN_CARDS:
            if card.id == encoder_id:
                return card
        known = ", ".join(card.id for card in self.cards())
        raise UnknownEncoder(f"There is no encoder {encoder_id[:128]!r}. Known encoders: {known}.")

    def add(self, card: EncoderCard, weights: Path) -> EncoderCard:
        """Registers an encoder with a copy of its mapped weights (safetensors, as `install_encoder` writes them).

        The folder appears whole or not at all.

        Returns:
            The card as registered, its weights present.

        Raises:
            EncoderExists: The id is taken; registered encoders never change under their name.
            WeightsMissing: The weights file is not there.
            BadCard: This registry has no folder.
        """
        if self._folder is None:
            raise BadCard("This registry has only built-in encoders; give it a folder to add to.")
        if not weights.is_file():
            raise WeightsMissing(f"There is no weights file {weights.name}.")
        target = self._folder / card.id
        if target.exists() or card.id in _COMPLETE:
            raise EncoderExists(f"Encoder {card.id} is registered already; choose another id or remove it first.")
        card = replace(card, weights=WeightsState.PRESENT, weights_file=WEIGHTS_FILE, seed=None)
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = self._folder / f".adding-{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            shutil.copyfile(weights, staging / WEIGHTS_FILE)
            (staging / CARD_FILE).write_text(json.dumps(card.as_dict(), indent=2) + "\n", encoding="utf-8")
            try:
                os.rename(staging, target)  # noqa: PTH104 - Path.rename hides the OSError case that a twin causes
            except OSError as error:
                raise EncoderExists(f"Encoder {card.id} was registered meanwhile.") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return card

    def _read(self, path: Path) -> EncoderCard:
        try:
            card = EncoderCard.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise BadCard(f"The card of encoder {path.parent.name} cannot be read: {error}") from error
        if card.id != path.parent.name:
            raise BadCard(f"The card in folder {path.parent.name} calls itself {card.id}; the two must agree.")
        if card.weights_file is None:
            return card
        present = (path.parent / card.weights_file).is_file()
        return replace(card, weights=WeightsState.PRESENT if present else WeightsState.MISSING)
