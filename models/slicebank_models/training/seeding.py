"""Random numbers of one fold: its own, so that folds trained side by side do not disturb each other."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def fold_seed(seed: int, fold: int) -> int:
    """Returns a seed of its own for each fold, so that folds differ in more than their cases."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """Returns the generator of one epoch of the fold with this seed."""
    return np.random.default_rng([seed, epoch])


class RowDraws:
    """The rows of every training bag in one epoch, decided by fold, epoch and the bag's place alone.

    Neither the order of the batches nor their size changes what is drawn of a bag.

    Args:
        lengths: (n,) rows of the bags.
        max_rows: Rows drawn of a longer bag, without replacement.
        generator: Of fold and epoch.
    """

    def __init__(self, lengths: NDArray[np.int64], max_rows: int, generator: np.random.Generator) -> None:
        self._lengths = lengths
        self._max_rows = max_rows
        longer = np.where(lengths > max_rows, lengths, 0)
        self._ends = np.cumsum(longer)
        self._keys = generator.random(int(self._ends[-1]) if len(lengths) else 0, dtype=np.float32)

    def rows(self, place: int) -> NDArray[np.int64]:
        """Returns the rows drawn of one bag, ascending; all of them where the bag is not longer than `max_rows`."""
        length = int(self._lengths[place])
        if length <= self._max_rows:
            return np.arange(length)
        keys = self._keys[self._ends[place] - length : self._ends[place]]
        return np.sort(np.argpartition(keys, self._max_rows)[: self._max_rows])


class SeededDropout(nn.Module):
    """Dropout that draws from a generator of its own; torch's draws from the one of the whole process."""

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self.p = p
        self._generator = generator

    def forward(self, values: Tensor) -> Tensor:
        """Sets a share p of the values to 0 and scales the others, while training."""
        if not self.training or self.p == 0:
            return values
        kept = torch.empty_like(values, requires_grad=False).bernoulli_(1 - self.p, generator=self._generator)
        return values * (kept / (1 - self.p))


def seed_dropout(module: nn.Module, generator: torch.Generator) -> None:
    """Lets every dropout of a head draw from `generator`; names of parameters stay."""
    for child_name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, child_name, SeededDropout(child.p, generator))
        else:
            seed_dropout(child, generator)
