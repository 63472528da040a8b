"""One fold: a fresh head, AdamW, early stopping on the loss of other patients, the best state kept as a copy."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import TrainingCancelled, TrainingDiverged
from slicebank_models.heads.build import build_head
from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.scaled import ScaledHead, centred, fit_scaling
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.bag_rows import BagRows, Wanted
from slicebank_models.training.fused_abmil import Chunk, evaluate_pooling, fused_pooling, published_head
from slicebank_models.training.losses import answer_weights, is_judged, loss_of, n_answers, targets_tensor
from slicebank_models.training.seeding import RowDraws, epoch_generator, seed_dropout


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every fold is trained by.

    Attributes:
        task: With its outputs' final names.
        training: Settings.
        head: Architecture and sizes.
        dim: Length of the rows.
        level: What a row describes.
    """

    task: TaskSpec
    training: TrainingSpec
    head: HeadSpec
    dim: int
    level: EncoderLevel


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """What training one fold gave.

    Attributes:
        state: The head's tensors at the epoch of the lowest validation loss, or training loss, on the CPU.
        best_epoch: That epoch, counted from 1.
        epochs: Epochs run.
        steps: Optimiser steps taken.
        validation_loss: The lowest; None where the stopping cases tell nothing.
        train_losses: Mean over the steps of each epoch, with dropout and of sampled rows.
        validation_losses: After each epoch, of whole bags; empty where the stopping cases tell nothing.
    """

    state: dict[str, Tensor]
    best_epoch: int
    epochs: int
    steps: int
    validation_loss: float | None
    train_losses: tuple[float, ...]
    validation_losses: tuple[float, ...]


class FoldTraining:
    """Trains one head an epoch at a time; the same arguments give the same bits on one machine.

    Build the folds one after the other: initial weights come from torch's own random state, which is put back. Their epochs
    may then run side by side in threads.

    Args:
        recipe: What to train and how.
        rows: Of the cohort, on the device that trains.
        train: Cases to learn from; their order decides what is drawn.
        stopping: Cases that decide when to stop and which epoch is best; all their rows are used.
        seed: Of this fold: initial weights, order, sampled rows, dropout.
    """

    def __init__(
        self, recipe: Recipe, rows: BagRows, train: Sequence[Case], stopping: Sequence[Case], seed: int
    ) -> None:
        self._recipe = recipe
        self._rows = rows
        self._train = list(train)
        self._seed = seed
        device = rows.device
        self._targets = targets_tensor([case.target for case in train], device)
        self._stopping = list(stopping)
        self._stopping_targets = targets_tensor([case.target for case in stopping], device)
        self._judged = is_judged(recipe.task, self._stopping_targets)
        weights = answer_weights(recipe.task, [case.target for case in train], balanced=recipe.training.class_weights)
        self._weights = weights.to(device) if weights is not None else None
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            self.head: Head = build_head(recipe.head, recipe.level, recipe.dim, recipe.task)
        if recipe.task.kind is TaskKind.REGRESSION:
            fit_scaling(self.head, [case.target for case in train])
        self.head.to(device)
        generator = torch.Generator(device)
        generator.manual_seed(seed)
        seed_dropout(self.head, generator)
        self._fused = published_head(self.head)
        if self._fused is not None:
            rows.prepare_products()
        self._optimiser = torch.optim.AdamW(
            self.head.parameters(), lr=recipe.training.lr, weight_decay=recipe.training.weight_decay
        )
        self._best_state, self._best_loss, self._best_epoch = self._copy(), math.inf, 0
        self.steps = 0
        self._train_losses: list[float] = []
        self._validation_losses: list[float] = []

    @property
    def epochs(self) -> int:
        """Epochs run."""
        return len(self._train_losses)

    @property
    def finished(self) -> bool:
        """Whether all epochs are run, or the loss has not become lower for as many as `patience`."""
        training = self._recipe.training
        return self.epochs >= training.max_epochs or self.epochs - self._best_epoch >= training.patience

    def run_epoch(self, cancelled: Callable[[], bool]) -> None:
        """Learns from every training case once, then looks at the stopping cases.

        Args:
            cancelled: Asked before every optimiser step.

        Raises:
            TrainingCancelled: `cancelled` said so.
            TrainingDiverged: The validation loss is no finite number.
        """
        training = self._recipe.training
        generator = epoch_generator(self._seed, self.epochs)
        lengths = np.array([self._rows.length(case.index) for case in self._train])
        places = generator.permutation(len(self._train))
        draws = RowDraws(lengths, training.max_rows, generator)
        losses = []
        self.head.train()
        for start in range(0, len(places), training.batch_size):
            if cancelled():
                raise TrainingCancelled("Training was cancelled.")
            losses.append(self._step([int(place) for place in places[start : start + training.batch_size]], draws))
            self.steps += 1
        self._train_losses.append(math.fsum(losses) / len(losses))
        # Where no stopping case tells anything, its loss would be 0 from the first epoch on.
        loss = self._validation_loss() if self._judged else self._train_losses[-1]
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The {'validation' if self._judged else 'training'} loss became {loss}; try a lower lr."
            )
        if self._judged:
            self._validation_losses.append(loss)
        if loss < self._best_loss:
            self._best_state, self._best_loss, self._best_epoch = self._copy(), loss, self.epochs

    def outcome(self) -> FoldOutcome:
        """Returns the best state, whose risks have mean 0 over the training cases in a survival task, and the curve."""
        state = {name: tensor.to("cpu") for name, tensor in self._best_state.items()}
        if self._recipe.task.kind is TaskKind.SURVIVAL:
            self.head.load_state_dict(self._best_state)
            state = centred(state, self.logits(self._train).cpu())
        return FoldOutcome(
            state,
            self._best_epoch,
            self.epochs,
            self.steps,
            self._best_loss if self._judged else None,
            tuple(self._train_losses),
            tuple(self._validation_losses),
        )

    def logits(self, cases: Sequence[Case]) -> Tensor:
        """Returns (cases, outputs) logits of whole bags, without dropout."""
        self.head.eval()
        found = []
        with torch.no_grad():
            bags = [(case.index, None) for case in cases]
            if self._fused is not None:
                for chunk in self._rows.product_chunks(bags, kept=False):
                    pooled = evaluate_pooling(self._fused, chunk, self._rows.offset, self._rows.workspace)
                    found.append(self._classified(pooled))
            else:
                found = [self._plain(chunk, None).logits for chunk in self._rows.stored_chunks(bags)]
        return torch.cat(found)

    def _step(self, places: list[int], draws: RowDraws) -> float:
        """One optimiser step; returns its loss."""
        targets = self._targets[places]
        bags = [(self._train[place].index, draws.rows(place)) for place in places]
        self._optimiser.zero_grad()
        task = self._recipe.task
        answers = max(1, n_answers(task, targets))
        if task.kind is TaskKind.SURVIVAL:
            # A case's loss depends on all cases at risk with it, so every chunk waits for the others.
            total = self._all_at_once(bags, targets, answers)
        else:
            total = self._chunk_by_chunk(bags, targets, answers)
        self._optimiser.step()
        return total

    def _all_at_once(self, bags: Wanted, targets: Tensor, answers: int) -> float:
        """Adds the gradients of the batch's loss."""
        if self._fused is not None:
            chunks = list(self._rows.product_chunks(bags, kept=True))
            logits = self._classified(fused_pooling(self._fused, chunks, self._rows.offset, self._rows.workspace))
        else:
            logits = torch.cat([self._plain(chunk, None).logits for chunk in self._rows.stored_chunks(bags)])
        return self._backward(logits, targets, answers)

    def _backward(self, logits: Tensor, targets: Tensor, answers: int) -> float:
        loss = loss_of(self._recipe.task, logits, targets, self._weights) / answers
        torch.autograd.backward([loss])
        return float(loss.detach())

    def _chunk_by_chunk(self, bags: Wanted, targets: Tensor, answers: int) -> float:
        """Adds up the gradients of the batch's loss one chunk after the other: a chunk's intermediates stay in a processor's cache."""
        total, start = 0.0, 0
        share = self._recipe.head.instance_weight
        fused = self._fused is not None
        for chunk in self._rows.product_chunks(bags, kept=False) if fused else self._rows.stored_chunks(bags):
            given = targets[start : start + len(chunk.lengths)]
            start += len(chunk.lengths)
            if self._fused is not None:
                pooled = fused_pooling(self._fused, [chunk], self._rows.offset, self._rows.workspace)
                total += self._backward(self._classified(pooled), given, answers)
                continue
            output = self._plain(chunk, given)
            loss = loss_of(self._recipe.task, output.logits, given, self._weights) / answers
            if output.loss is not None:
                loss = (1 - share) * loss + share * output.loss * (len(given) / len(targets))
            torch.autograd.backward([loss])
            total += float(loss.detach())
        return total

    def _plain(self, chunk: Chunk, targets: Tensor | None) -> HeadOutput:
        lengths = torch.tensor(chunk.lengths, device=chunk.rows.device)
        output: HeadOutput = self.head(chunk.rows, lengths, targets)
        return output

    def _classified(self, pooled: Tensor) -> Tensor:
        assert self._fused is not None  # noqa: S101 - asked by callers
        logits: Tensor = self._fused.classifier(pooled)
        return logits * self.head.scale + self.head.shift if isinstance(self.head, ScaledHead) else logits

    def _validation_loss(self) -> float:
        """Returns the mean loss per known answer over whole bags."""
        logits = self.logits(self._stopping).double()
        total = loss_of(self._recipe.task, logits, self._stopping_targets, self._weights)
        return float(total) / max(1, n_answers(self._recipe.task, self._stopping_targets))

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.head.state_dict().items()}
