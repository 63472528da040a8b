"""From a run to an encoder that can be registered: its weights, its card and their checksums in one folder."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.checkpoints import BRANCHES
from slicebank_models.digest import weights_digest
from slicebank_models.encoder_folders import CARD_FILE, CHECKSUMS_FILE, WEIGHTS_FILE, write_card
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.errors import BadPretrainingCheckpoint, BadPretrainingSetting
from slicebank_models.loading import said_when_full
from slicebank_models.pretraining.checkpointing import PretrainingCheckpoint, load_checkpoint
from slicebank_models.pretraining.contrastive import pretraining_card
from slicebank_models.pretraining.published_form import branch_tensors, training_file
from slicebank_models.pretraining.run_record import NAME as RECORD_FILE
from slicebank_models.pretraining.spec import LossSettings, Method, PretrainingSpec

JSON = dict[str, Any]

_PAPERS = {
    Method.LECL: "Ligero, Lenz et al., Abnormality-Driven Representation Learning for Radiology Imaging (LECL)",
    Method.MOCO: "Chen, Xie and He, An Empirical Study of Training Self-Supervised Vision Transformers, arXiv:2104.02057",
}


@dataclass(frozen=True, slots=True)
class CardText:
    """What a run does not know of its encoder.

    Attributes:
        licence: Of the weights.
        description: A sentence for those who choose an encoder; empty for one that says what it was trained on.
        paper: Where the weights are described; empty for the paper of the method.
    """

    licence: str = "not stated"
    description: str = ""
    paper: str = ""


def open_run(run: Path) -> tuple[PretrainingCheckpoint, PretrainingSpec]:
    """Reads the last checkpoint of a run and the settings in it.

    Raises:
        BadPretrainingCheckpoint: There is none, or none that can be read.
    """
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise BadPretrainingCheckpoint(f"{run} holds no checkpoint of a pre-training run; name the folder of one.")
    return checkpoint, PretrainingSpec.parse(checkpoint.spec)


def export_encoder(
    run: Path,
    out: Path,
    *,
    encoder_id: str,
    branch: str = BRANCHES[0],
    half: bool = False,
    input_size: int | None = None,
    text: CardText = CardText(),
) -> EncoderCard:
    """Writes `weights.safetensors`, `card.json` and `SHA256SUMS` of a run's encoder, as `slicebank encoders add` takes them.

    Args:
        run: Folder of the run.
        out: Folder to write; what an earlier export left there is replaced.
        encoder_id: Name of the encoder.
        branch: `base_encoder` or `momentum_encoder`.
        half: Whether matrices are stored as float16. They are rounded for good: card and digest are of what is loaded.
        input_size: Side of the slices that the encoder shall read, pixels; that of the views where it is None. Convolutional
            networks read any multiple of 32, and often best a larger side than that of the crops they were trained on.
        text: What the run does not know.

    Raises:
        BadPretrainingCheckpoint: There is no checkpoint, it is of other tensors than its architecture has (at this input size),
            or they are not finite.
        BadPretrainingSetting: The architecture cannot read slices of this side.
        BadCard: The id is none.
    """
    checkpoint, spec = open_run(run)
    if input_size is not None and input_size % 32:
        raise BadPretrainingSetting(f"The input size must be a multiple of 32, not {input_size}.")
    card = replace(_draft(spec, input_size or spec.model.input_size), id=encoder_id)
    encoder = build_encoder(card)
    weights = _weights(checkpoint, branch, encoder.weights())
    stored = {name: _stored(tensor, half=half) for name, tensor in weights.items()}
    facts = _facts(run)
    card = replace(
        card,
        dim=encoder.dim,
        parameters=sum(tensor.numel() for tensor in stored.values()),
        weights=WeightsState.PRESENT,
        weights_digest=weights_digest({name: tensor.to(torch.float32) for name, tensor in stored.items()}),
        licence=text.licence,
        description=text.description or _description(card.architecture, spec, facts),
        paper=text.paper or _PAPERS[spec.loss.method],
        notes=_notes(checkpoint, spec, facts, branch),
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out) as made:
        scratch = Path(made)
        with said_when_full():
            save_file(stored, scratch / WEIGHTS_FILE)
        write_card(scratch, card)
        # safetensors makes files that their owner alone may read; a service and an image have other users.
        (scratch / WEIGHTS_FILE).chmod((scratch / CARD_FILE).stat().st_mode)
        for name in (WEIGHTS_FILE, CARD_FILE, CHECKSUMS_FILE):
            shutil.move(scratch / name, out / name)
    return card


def export_training_file(run: Path, out: Path) -> Path:
    """Writes a run's networks as a MoCo v3 training file, as the published code saves it; see `published_form.py`.

    Args:
        run: Folder of the run.
        out: The file to write.

    Returns:
        The file.

    Raises:
        BadPretrainingCheckpoint: There is no checkpoint, or it cannot be said in this form.
    """
    checkpoint, spec = open_run(run)
    per_epoch = _facts(run).get("steps_per_epoch") or 0
    epoch = checkpoint.step // per_epoch if per_epoch else 0
    document = training_file(checkpoint.model, spec.model.architecture, epoch)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    torch.save(document, part)
    part.replace(out)
    return out


def _draft(spec: PretrainingSpec, input_size: int) -> EncoderCard:
    """The card that the network was built from, with what the card of its architecture knows."""
    card = replace(pretraining_card(replace(spec.model, input_size=input_size)), windows=spec.views.windows)
    like = next((known for known in BUILTIN_CARDS if known.architecture == card.architecture), None)
    if like is None:
        return card
    grown = (card.input_size / like.input_size) ** 2 if like.input_size else 1.0
    return replace(card, code=like.code, row_bytes=round(like.row_bytes * grown))


def _weights(checkpoint: PretrainingCheckpoint, branch: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {
        name: tensor
        for name, tensor in branch_tensors(checkpoint.model, branch).items()
        if not name.endswith(TRAINING_COUNTER)
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise BadPretrainingCheckpoint(
            "The checkpoint has other tensors than its architecture has in this version and at this input size."
        )
    if endless := next((name for name, tensor in found.items() if not torch.isfinite(tensor).all()), None):
        raise BadPretrainingCheckpoint(f"Tensor {endless} holds numbers that are not finite: the training diverged.")
    return {name: found[name] for name in expected}


def _stored(tensor: Tensor, *, half: bool) -> Tensor:
    """The tensor as it is written; vectors, and what float16 has no numbers for, stay float32."""
    full = tensor.detach().to(torch.float32).contiguous()
    if half and full.ndim > 1:
        rounded = full.to(torch.float16)
        if torch.isfinite(rounded).all():
            return rounded
    return full


def _facts(run: Path) -> JSON:
    """What record.json says; nothing where it is not there."""
    try:
        read = json.loads((run / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _method(loss: LossSettings) -> str:
    if loss.method is Method.MOCO:
        return "MoCo v3"
    said = "as printed" if loss.lesion_loss == "printed" else "as the published code computes it"
    return f"LECL with lambda {loss.lesion_weight:g}" + (f" ({said})" if loss.lesion_weight else "")


def _description(architecture: str, spec: PretrainingSpec, facts: JSON) -> str:
    slices, patients = facts.get("train_slices"), facts.get("train_patients")
    of = f" on {slices:,} CT slices of {patients:,} patients" if slices and patients else " on CT slices"
    return f"{architecture}, pre-trained{of} by {_method(spec.loss)}."


def _notes(checkpoint: PretrainingCheckpoint, spec: PretrainingSpec, facts: JSON, branch: str) -> str:
    views, optimiser = ", ".join(spec.views.windows), spec.optimiser
    sentences = [
        f"{_method(spec.loss)}, temperature {spec.loss.temperature:g}; {checkpoint.step:,} steps of "
        f"{optimiser.batch_size:,} slices by {optimiser.name.value} (learning rate {optimiser.lr:g} for 256, weight decay "
        f"{optimiser.weight_decay:g}); views of {spec.model.input_size} pixels in the windows {views}; seed {spec.run.seed}."
    ]
    cache = facts.get("cache")
    if isinstance(cache, dict) and "slices" in cache:
        sentences.append(
            f"Data: {cache['slices']:,} slices of {cache.get('patients', 0):,} patients, {cache.get('annotated', 0):,} "
            f"slices with lesion boxes, of which {facts.get('train_slices', 0):,} were trained on."
        )
    sentences.append(
        f"The {branch.replace('_', ' ')}, from step {checkpoint.step:,}; slices {checkpoint.cache_digest[:16]}."
    )
    return " ".join(sentences)
