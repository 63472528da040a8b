"""Learning rate and momentum of the momentum encoder over a run, as MoCo v3 has them. Epochs are fractional: step / steps an epoch."""

import math

from slicebank_models.pretraining.spec import OptimiserSettings


def peak_learning_rate(settings: OptimiserSettings) -> float:
    """The rate after warm-up: `lr` is for a batch of 256 and grows with the batch."""
    return settings.lr * settings.batch_size / 256.0


def learning_rate(settings: OptimiserSettings, epoch: float) -> float:
    """Rises from 0 in a straight line over the warm-up, then falls to 0 along half a cosine."""
    peak = peak_learning_rate(settings)
    if epoch < settings.warmup_epochs:
        return peak * epoch / settings.warmup_epochs
    falling = settings.epochs - settings.warmup_epochs
    done = min((epoch - settings.warmup_epochs) / falling, 1.0) if falling else 1.0
    return peak * 0.5 * (1.0 + math.cos(math.pi * done))


def encoder_momentum(settings: OptimiserSettings, epoch: float) -> float:
    """The share of the momentum encoder that a step keeps: from `momentum` to 1 along half a cosine."""
    done = min(epoch / settings.epochs, 1.0)
    return 1.0 - 0.5 * (1.0 + math.cos(math.pi * done)) * (1.0 - settings.momentum)
