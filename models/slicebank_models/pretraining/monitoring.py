"""Whether a run learns: spread of the features, alignment and uniformity, and an alarm where they collapse."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.pretraining.metrics_file import MetricsLine

# Uniformity compares every pair; of a larger batch these many rows stand for all.
MOST_ROWS = 2048

# Spread of the encoder's features below which all slices look alike. Random weights were seen to give 0.5 to 0.8.
LEAST_STD = 0.003
# Uniformity above which the queries are nearly one point or two; spread evenly over a sphere they are near -4, and half
# of them in one place and half in the opposite one -0.69.
MOST_UNIFORMITY = -0.75
PATIENCE = 3


@torch.no_grad()
def feature_std(features: Tensor) -> Tensor:
    """sqrt(dim) times the standard deviation over the batch of features of length 1, mean over their dimensions.

    1 where they spread evenly over the sphere, so that each dimension has 1 / sqrt(dim); 0 where they are one point.

    Args:
        features: (n, dim), any length.
    """
    unit = F.normalize(features.float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(unit.shape[1])


@torch.no_grad()
def alignment(queries: Tensor, keys: Tensor) -> Tensor:
    """Mean squared distance of pairs after their lengths are made 1: 0 at best, 4 at most (Wang & Isola 2020, alpha = 2)."""
    unit_queries, unit_keys = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
    return (unit_queries - unit_keys).square().sum(dim=1).mean()


@torch.no_grad()
def uniformity(queries: Tensor) -> Tensor:
    """Logarithm of the mean of exp(-2 |x - y|^2) over different rows, lengths made 1: 0 where all are one point (Wang & Isola 2020, t = 2).

    Args:
        queries: (n, dim), n at least 2.
    """
    unit = F.normalize(queries[:MOST_ROWS].float(), dim=1)
    # Of zero rows, which have no direction, the squared distance is 0 like that of equal ones.
    apart = torch.pdist(unit).square()
    return torch.logsumexp(-2.0 * apart, dim=0) - math.log(len(apart))


class CollapseAlarm:
    """Warns once when the features have collapsed for some logged steps in a row.

    Args:
        first_step: Before it nothing is judged; features of random weights may be narrow until the warm-up is over.

    Attributes:
        said: The warning; empty before it.
    """

    def __init__(self, first_step: int) -> None:
        self._first_step = first_step
        self._in_row = 0
        self.said = ""

    def judge(self, line: MetricsLine) -> str | None:
        """A sentence that says what is wrong and what to do, at the step where it is sure; None otherwise."""
        if self.said or line.step < self._first_step:
            return None
        collapsed = line.feature_std < LEAST_STD or line.uniformity > MOST_UNIFORMITY
        self._in_row = self._in_row + 1 if collapsed else 0
        if self._in_row < PATIENCE:
            return None
        self.said = (
            f"The features have collapsed at step {line.step}: feature_std is {line.feature_std:.2g} (1 is even, 0 one "
            f"point), uniformity {line.uniformity:.2f} (near -4 is even, 0 one point). What is learnt from here on is "
            "worth little. Lower optimiser.lr, lengthen optimiser.warmup_epochs, raise optimiser.momentum or "
            "optimiser.batch_size, and see that the slices are not all alike."
        )
        return self.said
