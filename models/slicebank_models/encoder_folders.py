"""The folder of one encoder with its weights: `card.json`, `weights.safetensors` and `SHA256SUMS`. No torch here.

Registered encoders, those that come inside the package and those that a pre-training exports are all laid out so.
"""

import json
from dataclasses import replace
from pathlib import Path

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.errors import BadCard
from slicebank_models.stored_weights import file_sha256

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKSUMS_FILE = "SHA256SUMS"

_MOST_CARD_BYTES = 4 * 1024 * 1024


def read_card(folder: Path) -> EncoderCard:
    """Reads the card of a folder; stored weights are present or missing as they lie there.

    Raises:
        BadCard: It cannot be read.
    """
    try:
        path = folder / CARD_FILE
        if path.stat().st_size > _MOST_CARD_BYTES:
            raise BadCard(f"The card of encoder {folder.name} is larger than a card can be.")
        card = EncoderCard.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadCard(f"The card of encoder {folder.name} cannot be read: {error}") from error
    if card.weights_file is None:
        return card
    present = (folder / card.weights_file).is_file()
    return replace(card, weights=WeightsState.PRESENT if present else WeightsState.MISSING)


def read_named_card(folder: Path) -> EncoderCard:
    """Reads the card of a folder that must bear the encoder's id.

    Raises:
        BadCard: It cannot be read, or calls itself otherwise.
    """
    card = read_card(folder)
    if card.id != folder.name:
        raise BadCard(f"The card in folder {folder.name} calls itself {card.id}; the two must agree.")
    return card


def write_card(folder: Path, card: EncoderCard) -> None:
    """Writes a card beside its weights, and the checksums of both."""
    (folder / CARD_FILE).write_text(json.dumps(card.as_dict(), indent=2) + "\n", encoding="utf-8")
    note_checksums(folder, folder)


def note_checksums(folder: Path, scratch: Path) -> None:
    """Writes the sha256 of a folder's files beside them, as sha256sum does.

    Args:
        folder: Of the encoder.
        scratch: On the same disk, for the file in the making.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS_FILE)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names]
    part = scratch / f"{CHECKSUMS_FILE}.part"
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(folder / CHECKSUMS_FILE)


def noted_checksums(folder: Path) -> dict[str, str]:
    """Returns what was noted of a folder's files: sha256 hex by name; empty where nothing was."""
    path = folder / CHECKSUMS_FILE
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
