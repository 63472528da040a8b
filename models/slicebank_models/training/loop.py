"""One fold: a fresh head, AdamW, early stopping on the validation loss, the best state kept as a copy."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import TrainingCancelled, TrainingDiverged
from slicebank_models.heads.build import build_head
from slicebank_models.heads.head import Head
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.scaled import fit_scaling
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.bags import BagSource, pack, sample_rows
from slicebank_models.training.losses import answer_weights, loss_of, n_answers, targets_tensor, training_loss

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
        head = build_head(HeadSpec(), level, dim, task)
        fit_scaling(head, [case.target for case in train])
        head = head.to(device)
        weights = answer_weights(task, [case.target for case in train], balanced=training.class_weights)
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
                targets = targets_tensor([case.target for case in batch], device)
                rows, lengths = pack([sample_rows(bags.features(c.index), training.max_rows, order) for c in batch])
                output = head(rows.to(device), lengths.to(device), targets)
                loss = training_loss(task, output, targets, weights)
                optimiser.zero_grad()
                torch.autograd.backward([loss])
                optimiser.step()
                steps += 1
            validation_loss = _validation_loss(head, bags, validation, task, weights, device)
            if not math.isfinite(validation_loss):
                raise TrainingDiverged(f"The validation loss became {validation_loss}; try a lower lr.")
            if validation_loss < best_loss:
                best_state, best_loss, best_epoch = copy.deepcopy(head.state_dict()), validation_loss, epoch
    state = {name: tensor.to("cpu") for name, tensor in best_state.items()}
    return FoldOutcome(state, best_epoch, epoch, steps, best_loss)


def _validation_loss(
    head: Head, bags: BagSource, cases: Sequence[Case], task: TaskSpec, weights: Tensor | None, device: torch.device
) -> float:
    """Returns the mean loss per known answer over full bags."""
    head.eval()
    with torch.inference_mode():
        found = [head(rows.to(device), lengths.to(device)).logits for _, rows, lengths in _full_batches(bags, cases)]
        targets = targets_tensor([case.target for case in cases], device)
        loss = float(loss_of(task, torch.cat(found), targets, weights))
    return loss / max(1, n_answers(task, targets))


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
