"""From a card to an encoder with the card's weights, and from a checkpoint to a card with weights."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.checkpoints import BRANCHES, MappingReport, map_checkpoint
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.build import build_encoder, family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import BadCard, CheckpointMismatch, WeightsDigestMismatch, WeightsMissing
from slicebank_models.registry import WEIGHTS_FILE, EncoderRegistry


def load_encoder(card: EncoderCard, folder: Path | None = None) -> Encoder:
    """Builds the encoder of a card on the CPU, in evaluation mode, and checks its weights against the card.

    Args:
        card: From the registry.
        folder: The registry's folder; needed for stored weights only.

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
        encoder.set_weights(_stored_weights(card, folder, encoder.weights()))
    digest = weights_digest(encoder.weights())
    if digest != card.weights_digest:
        raise WeightsDigestMismatch(
            f"The weights of encoder {card.id} have digest {digest}, its card names {card.weights_digest}. "
            "Register the changed weights under another id."
        )
    return encoder


def _stored_weights(card: EncoderCard, folder: Path | None, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    path = folder / card.id / card.weights_file if folder is not None and card.weights_file is not None else None
    if path is None or not path.is_file():
        raise WeightsMissing(
            f"The weights of encoder {card.id} are not here; put them at {card.id}/{card.weights_file}."
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsMissing(f"The weights file of encoder {card.id} cannot be read: {error}") from error
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
    registry: EncoderRegistry, card: EncoderCard, checkpoint: Path, *, branch: str = BRANCHES[0]
) -> tuple[EncoderCard, MappingReport]:
    """Maps a checkpoint onto the card's architecture and registers both.

    Args:
        registry: Where to add; must have a folder.
        card: Everything but `dim`, `parameters`, `weights`, `weights_file` and `weights_digest`, which are worked out.
        checkpoint: safetensors or torch file; plain, converted or a MoCo v3 training file.
        branch: Encoder of a training file to take.

    Returns:
        The card as registered and what became of every key.

    Raises:
        CheckpointMismatch: The checkpoint is of another architecture.
        UnreadableCheckpoint: The file cannot be read.
        UnsafeCheckpoint: The file wants to run code.
        EncoderExists: The id is taken.
    """
    encoder = build_encoder(card)
    rules = partial(family_of(card.architecture).key_rules, card.architecture)
    mapped = map_checkpoint(checkpoint, encoder.weights(), rules, branch=branch)
    complete = replace(
        card,
        dim=encoder.dim,
        parameters=sum(tensor.numel() for tensor in mapped.tensors.values()),
        weights=WeightsState.PRESENT,
        weights_file=WEIGHTS_FILE,
        weights_digest=weights_digest(mapped.tensors),
        seed=None,
    )
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / WEIGHTS_FILE
        save_file({name: tensor.contiguous() for name, tensor in mapped.tensors.items()}, weights)
        return registry.add(complete, weights), mapped.report
