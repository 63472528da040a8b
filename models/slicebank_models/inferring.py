"""What a checkpoint is of, by the names and shapes of its tensors."""

import math
from collections.abc import Mapping

import torch

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard
from slicebank_models.checkpoints import Checkpoint
from slicebank_models.encoders.build import families
from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, Reshaped, infer_nothing
from slicebank_models.errors import UnknownArchitecture

Shapes = Mapping[str, tuple[int, ...]]


def infer_architecture(checkpoint: Checkpoint, name: str) -> str:
    """Tells what a checkpoint is of.

    Families that have a rule of their own are asked first; of the others, each architecture is laid out without numbers and compared.

    Args:
        checkpoint: From `open_checkpoint`.
        name: What to call it in sentences.

    Raises:
        UnknownArchitecture: No family knows it.
    """
    shapes = checkpoint.shapes
    for family in families():
        if (found := family.infer(shapes)) is not None:
            return found
    numbers = sum(math.prod(shape) for shape in shapes.values())
    for family in families():
        if family.infer is not infer_nothing:
            continue
        for card in BUILTIN_CARDS:
            # Files may hold more than the encoder, and never less.
            known = card.seed is not None and card.parameters <= numbers and family.has(card.architecture)
            if known and _fits(family, card, shapes):
                return card.architecture
    some = ", ".join(list(shapes)[:5])
    raise UnknownArchitecture(
        f"{name} does not tell its architecture: no family knows its {len(shapes)} tensors ({some}, ...). "
        "Name it with --architecture; timm:NAME is a model of timm."
    )


def _fits(family: EncoderFamily, card: EncoderCard, shapes: Shapes) -> bool:
    """Whether a file's tensors are exactly those of an architecture."""
    with torch.device("meta"):
        expected = {key: tuple(tensor.shape) for key, tensor in family.build(card).weights().items()}
    rule = family.key_rules(card.architecture, frozenset(shapes))
    found: dict[str, tuple[int, ...]] = {}
    for key, shape in shapes.items():
        named = DroppedKey(key, "") if key.rpartition(".")[2] == TRAINING_COUNTER else rule(key)
        if isinstance(named, DroppedKey):
            continue
        if isinstance(named, Reshaped):
            shape = named.shape if named.fits(shape) else shape
            named = named.name
        found[named] = shape
    return found == expected
