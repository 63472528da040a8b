"""What an architecture file offers: how to build it, and how its checkpoints name their tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.encoder import Encoder


@dataclass(frozen=True, slots=True)
class DroppedKey:
    """A key that was left out on purpose."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A tensor that checkpoints store with axes of length 1 more or fewer, such as the matrix of a 1 x 1 convolution.

    Other shapes of as many numbers do not fit: a transposed or flattened matrix would be read in the wrong order.

    Attributes:
        name: Of the tensor in the module.
        shape: To give it before it is compared with the module's.
    """

    name: str
    shape: tuple[int, ...]

    def fits(self, stored: tuple[int, ...]) -> bool:
        """Whether a tensor of the shape `stored` is this one, in the same order."""
        return [side for side in stored if side != 1] == [side for side in self.shape if side != 1]


KeyRule = Callable[[str], "str | DroppedKey | Reshaped"]
"""What an architecture makes of a key, prefixes already stripped: the tensor's name in the module, or why it is dropped."""


def verbatim(architecture: str, keys: frozenset[str]) -> KeyRule:
    """The rule of checkpoints that name their tensors as the module does."""
    del architecture, keys
    return lambda key: key


def infer_nothing(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """For families whose checkpoints do not tell their architecture."""
    del shapes
    return None


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """Architectures that one file builds.

    Attributes:
        architectures: Their names; one that ends in `:` stands for every name that begins with it.
        build: From a card to a module whose weights are not the card's yet.
        key_rules: From an architecture and all keys of a file, prefixes stripped, to the rule for one key.
        infer: From the names and shapes of a file's tensors, prefixes stripped, to the architecture they are of; None
            where they are of no architecture of this family.
    """

    architectures: tuple[str, ...]
    build: Callable[[EncoderCard], Encoder]
    key_rules: Callable[[str, frozenset[str]], KeyRule] = verbatim
    infer: Callable[[Mapping[str, tuple[int, ...]]], str | None] = infer_nothing

    def has(self, architecture: str) -> bool:
        """Whether this family builds it."""
        return any(
            architecture == name or (name.endswith(":") and architecture.startswith(name))
            for name in self.architectures
        )
