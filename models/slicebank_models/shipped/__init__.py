"""The encoders whose weights lie in this folder, inside the package. No torch here.

Each has a folder of its name with `card.json`, `weights.safetensors` and `SHA256SUMS`, as `encoder_folders.py` has it and
`slicebank pretrain export` writes it, and a
`LICENSE.md` that names the data the weights were trained on. Nobody registers them, and there may be none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slicebank_models.cards import EncoderCard
from slicebank_models.encoder_folders import CARD_FILE, read_named_card
from slicebank_models.errors import BadCard


@dataclass(frozen=True, slots=True)
class ShippedEncoders:
    """Encoders that come with their weights.

    Attributes:
        folder: Holds one folder an encoder.
        cards: Those that can be read, by id.
        problems: What is wrong with the others, a sentence by the name of the folder.
    """

    folder: Path
    cards: tuple[EncoderCard, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the cards."""
        return frozenset(card.id for card in self.cards)

    def home(self, card: EncoderCard) -> Path | None:
        """Returns the folder where the weights of a card came; None where they did not, or are gone."""
        same = any(known.id == card.id and known.weights_digest == card.weights_digest for known in self.cards)
        folder = self.folder / card.id
        return folder if same and card.weights_file and (folder / card.weights_file).is_file() else None

    def first(self, preferred: str) -> str | None:
        """Returns the id that is preferred where it came, or else the first; None where no encoder came."""
        return preferred if preferred in self.ids else next((card.id for card in self.cards), None)


def read_shipped(folder: Path) -> ShippedEncoders:
    """Reads the cards of a folder; a damaged one costs its own encoder only."""
    cards: list[EncoderCard] = []
    problems: dict[str, str] = {}
    for path in sorted(folder.glob(f"*/{CARD_FILE}")):
        try:
            cards.append(read_named_card(path.parent))
        except BadCard as error:
            problems[path.parent.name] = f"{error} It came with slicebank: install that again."
    return ShippedEncoders(folder, tuple(cards), problems)


SHIPPED = read_shipped(Path(__file__).parent)
