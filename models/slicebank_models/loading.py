"""From a card to an encoder with the card's weights, and from a checkpoint to a card with weights."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard, WeightsState, draft_card
from slicebank_models.checkpoints import BRANCHES, Checkpoint, MappingReport, map_checkpoint
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.build import build_encoder, family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import (
    BadCard,
    CheckpointMismatch,
    WeightsDigestMismatch,
    WeightsMissing,
)
from slicebank_models.missing_weights import how_to_get
from slicebank_models.registry import WEIGHTS_FILE, EncoderRegistry
from slicebank_models.shipped import SHIPPED, ShippedEncoders


def load_encoder(card: EncoderCard, folder: Path | None = None, *, shipped: ShippedEncoders = SHIPPED) -> Encoder:
    """Builds the encoder of a card on the CPU, in evaluation mode, and checks its weights against the card.

    Args:
        card: From the registry.
        folder: The registry's folder; needed for stored weights that do not come with slicebank.
        shipped: Encoders whose weights come with slicebank.

    Raises:
        UnknownArchitecture: This version cannot build it.
        WeightsMissing: The weights file is not there.
        CheckpointMismatch: The weights file has other tensors than the architecture.
        WeightsDigestMismatch: The weights differ from the card's digest.
    """
    encoder = build_encoder(card)
    if encoder.dim != card.dim:
        raise BadCard(f"Encoder {card.id}: the card says {card.dim} dimensions, {card.architecture} has {encoder.dim}.")
    if card.weights is WeightsState.SEEDED and card.seed is not None:
        encoder.set_weights(seeded_weights(card.seed, encoder.weights(), encoder.fixed_tensors))
    elif card.weights is not WeightsState.NONE:
        encoder.set_weights(_stored_weights(card, shipped.home(card) or _registered(card, folder), encoder.weights()))
    digest = weights_digest(encoder.weights())
    if digest != card.weights_digest:
        raise WeightsDigestMismatch(
            f"The weights of encoder {card.id} have digest {digest}, its card names {card.weights_digest}. "
            f"See `slicebank encoders verify {card.id}`; register changed weights under another id."
        )
    return encoder


def _registered(card: EncoderCard, folder: Path | None) -> Path | None:
    return None if folder is None else folder / card.id


def _stored_weights(card: EncoderCard, home: Path | None, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    path = None if home is None or card.weights_file is None else home / card.weights_file
    if path is None or not path.is_file():
        raise WeightsMissing(
            f"The weights of encoder {card.id} are not here. {how_to_get(replace(card, weights=WeightsState.MISSING))}"
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsMissing(
            f"The weights file of encoder {card.id} cannot be read: {error}. See `slicebank encoders verify {card.id}`."
        ) from error
    missing = tuple(sorted(set(expected) - set(tensors)))
    left_over = tuple(sorted(set(tensors) - set(expected)))
    wrong = tuple(
        (name, tuple(expected[name].shape), tuple(tensors[name].shape))
        for name in sorted(set(expected) & set(tensors))
        if expected[name].shape != tensors[name].shape
    )
    if missing or left_over or wrong:
        raise CheckpointMismatch(missing, left_over, wrong)
    return tensors


def install_encoder(
    registry: EncoderRegistry,
    card: EncoderCard,
    checkpoint: Checkpoint | Path,
    *,
    branch: str = BRANCHES[0],
    digest: str | None = None,
) -> tuple[EncoderCard, MappingReport]:
    """Maps a checkpoint onto the card's architecture and registers both.

    Args:
        registry: Where to add; must have a folder.
        card: Everything but `dim`, `parameters`, `weights`, `weights_file` and `weights_digest`, which are worked out.
        checkpoint: safetensors or torch file, or a folder with one; plain, converted or a MoCo v3 training file.
        branch: Encoder of a training file to take.
        digest: Of the weights, where it is known; others are refused.

    Returns:
        The card as registered and what became of every key.

    Raises:
        CheckpointMismatch: The checkpoint is of another architecture.
        UnreadableCheckpoint: The file cannot be read.
        UnsafeCheckpoint: The file wants to run code.
        EncoderExists: The id is taken.
        WeightsDigestMismatch: The weights have another digest.
    """
    registry.require_free(card.id)
    encoder = build_encoder(card)
    rules = partial(family_of(card.architecture).key_rules, card.architecture)
    mapped = map_checkpoint(checkpoint, encoder.weights(), rules, branch=branch)
    found = weights_digest(mapped.tensors)
    if digest is not None and found != digest:
        raise WeightsDigestMismatch(
            f"The weights of encoder {card.id} have digest {found}, its card names {digest}: a file was changed or cut short."
        )
    complete = replace(
        card,
        dim=encoder.dim,
        parameters=sum(tensor.numel() for tensor in mapped.tensors.values()),
        weights=WeightsState.PRESENT,
        weights_file=WEIGHTS_FILE,
        weights_digest=found,
        seed=None,
    )
    with registry.making() as scratch:
        weights = scratch / WEIGHTS_FILE
        with said_when_full():
            save_file({name: tensor.contiguous() for name, tensor in mapped.tensors.items()}, weights)
        return registry.add(complete, weights, move=True), mapped.report


def draft_for_checkpoint(
    encoder_id: str,
    *,
    architecture: str,
    licence: str,
    description: str = "",
    paper: str = "",
    windows: tuple[str, ...] | None = None,
) -> EncoderCard:
    """Returns the card of a checkpoint of one's own: input and windows as a built-in card of its architecture has them.

    Args:
        encoder_id: Its name.
        architecture: From `infer_architecture`, or the user.
        licence: Of the weights.
        description: A sentence for those who choose an encoder.
        paper: Where the weights are described.
        windows: Windows rendered by default; None for those of the built-in card.

    Raises:
        BadCard: A value is out of range.
    """
    like = [card for card in BUILTIN_CARDS if card.architecture == architecture]
    if not like:
        drafted = draft_card(encoder_id, architecture, licence=licence, description=description, paper=paper)
        return drafted if windows is None else replace(drafted, windows=windows)
    # Weights as published say more of their input than weights by formula.
    known = min(like, key=lambda card: card.seed is not None)
    return replace(
        known,
        id=encoder_id,
        licence=licence,
        description=description,
        paper=paper,
        windows=known.windows if windows is None else windows,
        weights=WeightsState.MISSING,
        weights_digest="",
        weights_file=WEIGHTS_FILE,
        seed=None,
        trained=True,
        source=None,
        notes="",
    )


@contextmanager
def said_when_full() -> Iterator[None]:
    """Turns safetensors' own error about a full disk into the system's.

    Raises:
        OSError: ENOSPC.
    """
    try:
        yield
    except SafetensorError as error:
        if "No space left" in str(error) or "os error 28" in str(error):
            raise OSError(errno.ENOSPC, "The disk of the encoders folder is full") from error
        raise
