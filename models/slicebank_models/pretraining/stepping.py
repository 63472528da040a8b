"""One step of training: views, loss and gradients, optimiser, momentum encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.errors import BadPretrainingCheckpoint
from slicebank_models.inference import has_native_bfloat16
from slicebank_models.pretraining.batches import SliceBatch
from slicebank_models.pretraining.contrastive import ContrastiveModel, build_contrastive
from slicebank_models.pretraining.contrastive_step import StepOutcome, contrastive_step
from slicebank_models.pretraining.distributed import Processes
from slicebank_models.pretraining.draws import draw_views
from slicebank_models.pretraining.gathering import gather_rows
from slicebank_models.pretraining.grey import window_bounds
from slicebank_models.pretraining.monitoring import alignment, feature_std, uniformity
from slicebank_models.pretraining.optimisers import build_optimiser, set_learning_rate
from slicebank_models.pretraining.schedules import encoder_momentum, learning_rate
from slicebank_models.pretraining.spec import Precision, PretrainingSpec
from slicebank_models.pretraining.synchronised_norm import synchronise
from slicebank_models.pretraining.views import render_views

JSON = dict[str, Any]

# An odd number far from 1 keeps the generators of neighbouring seeds, steps and ranks apart.
_MIX = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True, eq=False)
class StepStatistics:
    """What a step was like.

    Attributes:
        loss: Of this process's share, scalar on the device.
        lr: Learning rate of the step.
        momentum: Of the momentum encoder in the step.
        outcome: Queries, keys and features of this process.
    """

    loss: Tensor
    lr: float
    momentum: float
    outcome: StepOutcome

    def measured(self) -> Tensor:
        """(5) loss, accuracy, feature_std, alignment, uniformity; the mean over the processes is that of the batch.

        Every process must ask: features and queries of all are gathered.
        """
        features, _ = gather_rows(self.outcome.features)
        queries, _ = gather_rows(self.outcome.queries)
        return torch.stack(
            [
                self.loss.float(),
                self.outcome.accuracy.float(),
                feature_std(features),
                alignment(self.outcome.queries, self.outcome.keys),
                uniformity(queries),
            ]
        )


class Stepper:
    """The networks and their optimiser on this process's device.

    Args:
        spec: The settings.
        windows: Lowest and highest HU by name.
        steps_per_epoch: Of the schedules.
        processes: Those that train together.

    Raises:
        BadPretrainingSetting: The architecture cannot be trained, or a window is unknown.

    Attributes:
        dtype: What the networks compute in.
    """

    def __init__(
        self,
        spec: PretrainingSpec,
        windows: Mapping[str, tuple[float, float]],
        *,
        steps_per_epoch: int,
        processes: Processes,
    ) -> None:
        self._spec = spec
        self._steps_per_epoch = steps_per_epoch
        self._processes = processes
        device = processes.device
        self._windows = window_bounds(spec.views.windows, windows).to(device)
        self.dtype = _dtype(spec.run.precision, device)
        model = build_contrastive(
            spec.model, spec.run.seed, freeze_patch_embedding=spec.optimiser.freeze_patch_embedding
        )
        if processes.world_size > 1:
            synchronise(model)
        self._model: ContrastiveModel = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if spec.run.compile:
            # In place, so that tensors keep their names.
            self._model.encoder.compile()
            self._model.momentum_encoder.compile()
        self._optimiser = build_optimiser(self._model, spec.optimiser)
        self._wrapped = processes.wrapped(self._model)

    @property
    def encoder(self) -> SliceEncoder:
        """The encoder that is trained."""
        return self._model.encoder

    def step(self, batch: SliceBatch, step: int) -> StepStatistics:
        """Trains on this process's share of the batch of step `step`, from 0, without waiting for the device."""
        settings = self._spec
        start, stop = self._processes.share(settings.optimiser.batch_size)
        draws = draw_views(settings.views, settings.optimiser.batch_size, seed=settings.run.seed, step=step)
        view1, view2 = render_views(
            batch,
            draws.part(start, stop),
            settings.views,
            settings.loss.method,
            self._windows,
            settings.model.input_size,
        )
        return self.step_on_views(view1, view2, batch.annotated, step)

    def step_on_views(self, view1: Tensor, view2: Tensor, annotated: Tensor, step: int) -> StepStatistics:
        """The same with views that are there already.

        Args:
            view1: (n, size, size) grey levels from 0 to 255.
            view2: The same slices' other view.
            annotated: (n) bool.
            step: Of the optimiser, from 0.
        """
        settings = self._spec
        epoch = step / self._steps_per_epoch
        rate, kept = learning_rate(settings.optimiser, epoch), encoder_momentum(settings.optimiser, epoch)
        # Networks that drop out at random: from seed and step too, so that a resumed run drops the same.
        torch.manual_seed(
            (settings.run.seed + (step * self._processes.world_size + self._processes.rank) * _MIX) % 2**63
        )
        set_learning_rate(self._optimiser, rate)
        self._optimiser.zero_grad(set_to_none=True)
        self._model.update_momentum(kept)
        outcome = contrastive_step(
            self._wrapped,
            view1,
            view2,
            annotated,
            loss=settings.loss,
            parts=settings.optimiser.accumulate,
            autocast=None if self.dtype is torch.float32 else self.dtype,
        )
        self._optimiser.step()
        return StepStatistics(outcome.loss, rate, kept, outcome)

    def state(self) -> tuple[dict[str, Tensor], JSON]:
        """States of networks and optimiser; shared, not copied."""
        return self._model.state_dict(), self._optimiser.state_dict()

    def load(self, model: Mapping[str, Tensor], optimiser: JSON) -> None:
        """Takes up the states of a checkpoint.

        Raises:
            BadPretrainingCheckpoint: They are not of these networks.
        """
        try:
            self._model.load_state_dict(model)
            self._optimiser.load_state_dict(optimiser)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BadPretrainingCheckpoint(f"The checkpoint is not of these networks: {error}.") from error


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    low = precision is Precision.BF16 or (precision is Precision.AUTO and has_native_bfloat16(device))
    return torch.bfloat16 if low else torch.float32
