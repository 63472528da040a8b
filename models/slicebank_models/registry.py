"""Which encoders there are: the built-in cards and those registered in a folder. No torch here."""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from slicebank_models.builtin import BUILTIN_CARDS, DEFAULT_ENCODER
from slicebank_models.cards import ENCODER_ID, EncoderCard, WeightsState
from slicebank_models.encoder_folders import (
    CARD_FILE,
    WEIGHTS_FILE,
    note_checksums,
    noted_checksums,
    read_named_card,
    write_card,
)
from slicebank_models.errors import BadCard, EncoderExists, EncoderNotRegistered, UnknownEncoder, WeightsMissing
from slicebank_models.plugins import installed_plugins
from slicebank_models.shipped import SHIPPED, ShippedEncoders

__all__ = ["CARD_FILE", "DEFAULT_ENCODER", "WEIGHTS_FILE", "EncoderRegistry"]


class EncoderRegistry:
    """Known cards and the cards of one folder, read anew at every call so that processes see each other's additions.

    Args:
        folder: Holds `<id>/card.json`, `<id>/weights.safetensors` and `<id>/SHA256SUMS` (as sha256sum writes it) per registered
            encoder; need not exist.
        known: Cards that need no folder; by default those that come with slicebank and those of plug-ins.
        shipped: Encoders whose weights come with slicebank.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        known: Iterable[EncoderCard] | None = None,
        shipped: ShippedEncoders = SHIPPED,
    ) -> None:
        self._folder = folder
        self._shipped = shipped
        if known is None:
            others = (card for card in BUILTIN_CARDS if card not in SHIPPED.cards)
            known = (*others, *shipped.cards, *installed_plugins().cards())
        self._known = {card.id: card for card in known}
        # Those that lack their weights get them by a card in the folder; the others lack nothing.
        self._complete = frozenset(card.id for card in self._known.values() if card.weights is not WeightsState.MISSING)

    @property
    def folder(self) -> Path | None:
        """Folder of registered encoders."""
        return self._folder

    @property
    def shipped(self) -> ShippedEncoders:
        """Encoders whose weights come with slicebank."""
        return self._shipped

    def home(self, encoder_id: str) -> Path | None:
        """Returns the folder of an encoder's card and weights; None where neither is stored on this machine."""
        if self.registered(encoder_id):
            return None if self._folder is None else self._folder / encoder_id
        return self._shipped.home(self._known[encoder_id]) if encoder_id in self._known else None

    def cards(self) -> tuple[EncoderCard, ...]:
        """Returns every card that can be read: the default first, the others by id."""
        found = dict(self._known)
        for encoder_id in self.registered_ids():
            try:
                found[encoder_id] = self._read(encoder_id)
            except BadCard:
                found.pop(encoder_id, None)  # one damaged card must not take the others along; `problems` names it
        return tuple(sorted(found.values(), key=lambda card: (card.id != DEFAULT_ENCODER, card.id)))

    def problems(self) -> dict[str, str]:
        """Returns what is wrong with cards that cannot be read and with plug-ins, a sentence by id or by name."""
        found: dict[str, str] = {f"plug-in {name}": problem for name, problem in installed_plugins().problems.items()}
        found |= self._shipped.problems
        for encoder_id in self.registered_ids():
            try:
                self._read(encoder_id)
            except BadCard as error:
                found[encoder_id] = str(error)
        return found

    def get(self, encoder_id: str) -> EncoderCard:
        """Returns one card.

        Raises:
            UnknownEncoder: No card has this id.
            BadCard: The registered card cannot be read.
        """
        if self.registered(encoder_id):
            return self._read(encoder_id)
        if encoder_id in self._known:
            return self._known[encoder_id]
        asked = encoder_id[:128]
        # All of them would be a page.
        near = get_close_matches(asked, [card.id for card in self.cards()], n=5, cutoff=0.5)
        meant = f"Did you mean {', '.join(near)}? " if near else ""
        raise UnknownEncoder(f"There is no encoder {asked!r}. {meant}`slicebank encoders list` shows what there is.")

    def ships(self, encoder_id: str) -> bool:
        """Whether the card comes with slicebank or a plug-in, so that the id is known after a removal too."""
        return encoder_id in self._known

    def registered(self, encoder_id: str) -> bool:
        """Whether an encoder was pulled or added here."""
        if encoder_id in self._complete or self._folder is None or not ENCODER_ID.fullmatch(encoder_id):
            return False
        return (self._folder / encoder_id / CARD_FILE).is_file()

    def registered_ids(self) -> list[str]:
        """Returns ids of encoders that were pulled or added; what an addition under way or a crash left is none."""
        if self._folder is None or not self._folder.is_dir():
            return []
        names = sorted(path.parent.name for path in self._folder.glob(f"*/{CARD_FILE}"))
        return [name for name in names if self.registered(name)]

    def stored_ids(self) -> list[str]:
        """Returns ids of encoders whose weights lie on this machine: those that came with slicebank, then the registered ones."""
        shipped = [card.id for card in self._shipped.cards if card.id in self._complete]
        return [*shipped, *self.registered_ids()]

    def require_free(self, encoder_id: str) -> None:
        """Lets weights be registered under an id: a new one, a published one, or one whose weights were lost.

        Raises:
            EncoderExists: It has weights already; registered encoders never change under their name.
            BadCard: The id is none, or its card cannot be read.
        """
        if not ENCODER_ID.fullmatch(encoder_id):
            raise BadCard(f"Encoder id {encoder_id[:128]!r} must match {ENCODER_ID.pattern}.")
        if encoder_id in self._complete or (
            self.registered(encoder_id) and self._read(encoder_id).weights is not WeightsState.MISSING
        ):
            raise EncoderExists(f"Encoder {encoder_id} is registered already; choose another id or remove it first.")

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A folder beside the encoders, on their disk, for files in the making; gone at the end.

        Raises:
            BadCard: This registry has no folder.
        """
        if self._folder is None:
            raise BadCard("This registry has only built-in encoders; give it a folder to add to.")
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = self._folder / f".adding-{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def add(self, card: EncoderCard, weights: Path, *, move: bool = False) -> EncoderCard:
        """Registers an encoder with its mapped weights (safetensors, as `install_encoder` writes them).

        The folder appears whole or not at all. An encoder whose weights were lost gets them back, if they are the same.

        Args:
            card: The encoder.
            weights: Its file.
            move: Whether the file may be moved instead of copied; it must be on the disk of the registry's folder then.

        Returns:
            The card as registered, its weights present.

        Raises:
            EncoderExists: The id is taken; registered encoders never change under their name.
            WeightsMissing: The weights file is not there.
            BadCard: This registry has no folder.
        """
        with self.making() as staging:
            if not weights.is_file():
                raise WeightsMissing(f"There is no weights file {weights.name}.")
            self.require_free(card.id)
            card = replace(card, weights=WeightsState.PRESENT, weights_file=WEIGHTS_FILE, seed=None)
            target = staging.parent / card.id
            made = staging / card.id
            made.mkdir()
            (weights.replace if move else partial(shutil.copyfile, weights))(made / WEIGHTS_FILE)
            if self.registered(card.id):
                return self._heal(card, made / WEIGHTS_FILE)
            write_card(made, card)
            try:
                os.rename(made, target)  # noqa: PTH104 - Path.rename hides the OSError case that a twin causes
            except OSError as error:
                raise EncoderExists(f"Encoder {card.id} was registered meanwhile.") from error
        return card

    def remove(self, encoder_id: str) -> None:
        """Removes an encoder that was pulled or added; bags that it made stay.

        Raises:
            EncoderNotRegistered: It was not.
        """
        if not self.registered(encoder_id):
            raise EncoderNotRegistered(
                f"Encoder {encoder_id[:128]} was neither pulled nor added here, so there is nothing to remove."
            )
        with self.making() as staging:
            (staging.parent / encoder_id).rename(staging / encoder_id)

    def checksums(self, encoder_id: str) -> dict[str, str]:
        """Returns what was noted of a stored encoder's files: sha256 hex by name; empty where nothing was."""
        home = self.home(encoder_id)
        return {} if home is None else noted_checksums(home)

    def _heal(self, card: EncoderCard, weights: Path) -> EncoderCard:
        known = self._read(card.id)
        if known.weights_digest != card.weights_digest:
            raise EncoderExists(
                f"Encoder {card.id} is registered with other weights, whose file was lost; remove it first, or choose another id."
            )
        target = weights.parent.parent.parent / card.id
        weights.replace(target / (known.weights_file or WEIGHTS_FILE))
        note_checksums(target, weights.parent)
        return replace(known, weights=WeightsState.PRESENT)

    def _read(self, encoder_id: str) -> EncoderCard:
        if self._folder is None:
            raise BadCard("This registry has only built-in encoders.")
        return read_named_card(self._folder / encoder_id)
