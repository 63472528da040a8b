"""One fold: a fresh head, AdamW, early stopping on the validation loss, the best state kept as a copy."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import TrainingCancelled, TrainingDiverged
from slicebank_models.heads.ensemble import Head, new_head
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, Target
from slicebank_models.training.bags import BagSource, pack, sample_rows

EVALUATION_ROWS = 16_384  # rows per evaluation batch; bounds memory, bags are never cut


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """What training one fold gave.

    Attributes:
        state: The head's tensors at the epoch of the lowest validation loss.
        best_epoch: That epoch, counted from 1.
        epochs: Epochs run.
        steps: Optimiser steps taken.
        validation_loss: The lowest.
    """

    state: dict[str, Tensor]
    best_epoch: int
    epochs: int
    steps: int
    validation_loss: float


def loss_of(task: TaskSpec, logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """Returns the summed loss of (B, outputs) logits over known answers, and nothing for unknown ones.

    Binary cross-entropy per label, or cross-entropy over classes; no class weights, as in the paper.
    """
    if task.kind is TaskKind.MULTICLASS:
        classes = torch.tensor([-100 if answer is None else answer for (answer,) in targets], device=logits.device)
        return F.cross_entropy(logits, classes, ignore_index=-100, reduction="sum")
    answers = torch.tensor([[math.nan if a is None else float(a) for a in target] for target in targets])
    known = ~answers.isnan()
    every = F.binary_cross_entropy_with_logits(logits, answers.nan_to_num(0.0).to(logits), reduction="none")
    return every[known.to(logits.device)].sum()


def n_answers(targets: Sequence[Target]) -> int:
    """Returns how many answers are known."""
    return sum(answer is not None for target in targets for answer in target)


def train_fold(
    bags: BagSource,
    train: Sequence[Case],
    validation: Sequence[Case],
    task: TaskSpec,
    training: TrainingSpec,
    *,
    dim: int,
    level: EncoderLevel,
    seed: int,
    device: torch.device,
    step: Callable[[int], bool],
) -> FoldOutcome:
    """Trains one head; on a CPU the same arguments give the same bits.

    Args:
        bags: Rows of the cases by their index.
        train: Cases to learn from.
        validation: Cases that decide when to stop and which epoch is best; all their rows are used.
        task: With its outputs' final names.
        training: Settings.
        dim: Length of the rows.
        level: Slice rows get attention, a scan's one row does not.
        seed: Of this fold: initial weights, order, sampled rows, dropout.
        device: Where to train.
        step: Called before every optimiser step with the steps taken; True cancels.

    Raises:
        TrainingCancelled: `step` said so.
        TrainingDiverged: The validation loss is not a number.
    """
    order = np.random.default_rng(seed)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        head = new_head(level, dim, task.n_outputs).to(device)
        optimiser = torch.optim.AdamW(head.parameters(), lr=training.lr, weight_decay=training.weight_decay)
        best_state, best_loss, best_epoch, steps, epoch = copy.deepcopy(head.state_dict()), math.inf, 0, 0, 0
        while epoch < training.max_epochs and epoch - best_epoch < training.patience:
            epoch += 1
            head.train()
            places = order.permutation(len(train))
            for start in range(0, len(places), training.batch_size):
                if step(steps):
                    raise TrainingCancelled("Training was cancelled.")
                batch = [train[at] for at in places[start : start + training.batch_size]]
                targets = [case.target for case in batch]
                rows, lengths = pack([sample_rows(bags.features(c.index), training.max_rows, order) for c in batch])
                logits, _ = head(rows.to(device), lengths.to(device))
                loss = loss_of(task, logits, targets) / n_answers(targets)
                optimiser.zero_grad()
                torch.autograd.backward([loss])
                optimiser.step()
                steps += 1
            validation_loss = _validation_loss(head, bags, validation, task, device)
            if not math.isfinite(validation_loss):
                raise TrainingDiverged(f"The validation loss became {validation_loss}; try a lower lr.")
            if validation_loss < best_loss:
                best_state, best_loss, best_epoch = copy.deepcopy(head.state_dict()), validation_loss, epoch
    state = {name: tensor.to("cpu") for name, tensor in best_state.items()}
    return FoldOutcome(state, best_epoch, epoch, steps, best_loss)


def _validation_loss(head: Head, bags: BagSource, cases: Sequence[Case], task: TaskSpec, device: torch.device) -> float:
    """Returns the mean loss per known answer over full bags."""
    total = 0.0
    head.eval()
    with torch.inference_mode():
        for batch, rows, lengths in _full_batches(bags, cases):
            logits, _ = head(rows.to(device), lengths.to(device))
            total += float(loss_of(task, logits, [case.target for case in batch]))
    return total / n_answers([case.target for case in cases])


def _full_batches(bags: BagSource, cases: Sequence[Case]) -> Iterator[tuple[list[Case], Tensor, Tensor]]:
    """Groups whole bags up to EVALUATION_ROWS; a longer bag is a batch of its own."""
    batch: list[Case] = []
    loaded: list[NDArray[np.float32]] = []
    for case in cases:
        rows = bags.features(case.index)
        if batch and sum(map(len, loaded)) + len(rows) > EVALUATION_ROWS:
            yield batch, *pack(loaded)
            batch, loaded = [], []
        batch.append(case)
        loaded.append(rows)
    if batch:
        yield batch, *pack(loaded)
