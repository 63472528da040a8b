"""Which encoders there are: the built-in cards and those registered in a folder. No torch here."""

import json
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
from slicebank_models.errors import BadCard, EncoderExists, EncoderNotRegistered, UnknownEncoder, WeightsMissing
from slicebank_models.plugins import installed_plugins
from slicebank_models.stored_weights import file_sha256

__all__ = ["DEFAULT_ENCODER", "EncoderRegistry"]

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKSUMS_FILE = "SHA256SUMS"


class EncoderRegistry:
    """Known cards and the cards of one folder, read anew at every call so that processes see each other's additions.

    Args:
        folder: Holds `<id>/card.json`, `<id>/weights.safetensors` and `<id>/SHA256SUMS` (as sha256sum writes it) per registered
            encoder; need not exist.
        known: Cards that need no folder; by default those that come with slicebank and those of plug-ins.
    """

    def __init__(self, folder: Path | None = None, *, known: Iterable[EncoderCard] | None = None) -> None:
        self._folder = folder
        if known is None:
            known = (*BUILTIN_CARDS, *installed_plugins().cards())
        self._known = {card.id: card for card in known}
        # Those that lack their weights get them by a card in the folder; the others lack nothing.
        self._complete = frozenset(card.id for card in self._known.values() if card.weights is not WeightsState.MISSING)

    @property
    def folder(self) -> Path | None:
        """Folder of registered encoders."""
        return self._folder

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
            (made / CARD_FILE).write_text(json.dumps(card.as_dict(), indent=2) + "\n", encoding="utf-8")
            _note_checksums(made, made)
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
        """Returns what was noted of a registered encoder's files: sha256 hex by name; empty where nothing was."""
        if self._folder is None or not self.registered(encoder_id):
            return {}
        path = self._folder / encoder_id / CHECKSUMS_FILE
        if not path.is_file():
            return {}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}

    def _heal(self, card: EncoderCard, weights: Path) -> EncoderCard:
        known = self._read(card.id)
        if known.weights_digest != card.weights_digest:
            raise EncoderExists(
                f"Encoder {card.id} is registered with other weights, whose file was lost; remove it first, or choose another id."
            )
        target = weights.parent.parent.parent / card.id
        weights.replace(target / (known.weights_file or WEIGHTS_FILE))
        _note_checksums(target, weights.parent)
        return replace(known, weights=WeightsState.PRESENT)

    def _read(self, encoder_id: str) -> EncoderCard:
        if self._folder is None:
            raise BadCard("This registry has only built-in encoders.")
        path = self._folder / encoder_id / CARD_FILE
        try:
            card = EncoderCard.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise BadCard(f"The card of encoder {encoder_id} cannot be read: {error}") from error
        if card.id != encoder_id:
            raise BadCard(f"The card in folder {encoder_id} calls itself {card.id}; the two must agree.")
        if card.weights_file is None:
            return card
        present = (path.parent / card.weights_file).is_file()
        return replace(card, weights=WeightsState.PRESENT if present else WeightsState.MISSING)


def _note_checksums(folder: Path, scratch: Path) -> None:
    """Writes the sha256 of a registered encoder's files beside them."""
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS_FILE)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names]
    part = scratch / f"{CHECKSUMS_FILE}.part"
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(folder / CHECKSUMS_FILE)
